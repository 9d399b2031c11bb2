"""What staff can do: by whom, once, and only while it is still what it was."""

import html
import json
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone

from headshots.accounts.models import Session, User
from headshots.celery import app
from headshots.dashboard import now
from headshots.dashboard.actions import ACTIONS
from headshots.dashboard.models import Deed
from headshots.dashboard.subjects import name_of
from headshots.payments.credits import give_back_credit, open_credits
from headshots.payments.mails import send_credit_mail
from headshots.payments.models import Credit, Payment, Refund
from headshots.payments.settling import confirm
from headshots.retention.models import Receipt
from headshots.retention.receipt_mail import mail_receipt
from headshots.shoots import pausing, rendering, waking
from headshots.shoots.lifecycle import advance
from headshots.shoots.looks import Look, publish, save_draft
from headshots.shoots.mails import send_delivery_mail
from headshots.shoots.models import Event, Headshot, Pack, Pause, Shoot, Style, StyleVersion
from headshots.shoots.styles import seed_styles
from headshots.shoots.support import allow
from headshots.vault.services import key_exists
from tests import photos
from tests.factories import make_checked_shoot, make_preview, make_shoot, make_user
from tests.headshots.staff import client_of, make_staff, signed_in
from tests.headshots.test_shoots import upload

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

EVERYBODY = ("owner", "support", "finance", "staff", "person", "nobody")


@pytest.fixture(autouse=True)
def stripes_test_mode(settings) -> None:
    settings.HEADSHOTS_STRIPE_SECRET_KEY = "sk_test_nobody"


def failed_pack() -> Pack:
    pack = make_preview()
    advance(pack, Pack.State.RENDERING)
    Headshot.objects.filter(pack=pack, index=0).update(state="rejected", attempts=3, reasons=["engine_failed"])
    Headshot.objects.filter(pack=pack, index__gt=0).update(state="done")
    advance(pack, Pack.State.FAILED, reason="engine_failed")
    return pack


def blocked_account() -> User:
    account = make_user()
    User.objects.filter(pk=account.pk).update(is_active=False)
    return account


def account_with_second_factor() -> User:
    account = make_user()
    Authenticator.objects.create(user=account, type=Authenticator.Type.TOTP, data={"secret": "x"})
    return account


def paused_rendering() -> Pause.What:
    pausing.pause(Pause.What.RENDERING)
    return Pause.What.RENDERING


def paid_payment() -> Payment:
    payment = Payment.objects.create(
        owner=make_user(), engine="fake", mode="test", amount=1900, currency="usd", expires_at=timezone.now()
    )
    confirm(payment=payment, amount=1900, amount_tax=0, payment_intent="pi_1", session_id="cs_1")
    return payment


def told_credit() -> Credit:
    return Credit.objects.create(owner=make_user(), source=Credit.Source.GRANT)


def mailed_receipt() -> Receipt:
    now = timezone.now()
    return Receipt.objects.create(
        kind="shoot", owner=make_user(), asked_by="person", proof_until=now + timedelta(days=1), mailed_at=now
    )


def delivered_pack() -> Pack:
    pack = make_preview()
    advance(pack, Pack.State.RENDERING)
    advance(pack, Pack.State.DELIVERED)
    return pack


def shoot_with_leave() -> Shoot:
    shoot = make_shoot()
    allow(shoot=shoot)
    shoot.refresh_from_db()
    return shoot


def draft_of_a_look() -> StyleVersion:
    seed_styles()
    style = Style.objects.first()
    return save_draft(style=style, look=Look("Another", "", style.recipe), made_by=1)


def older_version() -> StyleVersion:
    draft = draft_of_a_look()
    publish(version=draft)
    return draft.style.versions.last()


# Something on which each action is possible.
THINGS: dict[str, Callable[[], object]] = {
    "retry-pack": failed_pack,
    "cancel-pack": make_preview,
    "purge-photos": make_shoot,
    "purge-everything": make_shoot,
    "block-account": make_user,
    "unblock-account": blocked_account,
    "resend-confirmation": make_user,
    "reset-second-factor": account_with_second_factor,
    "refund": paid_payment,
    "grant-credits": make_user,
    "grant-pack": make_checked_shoot,
    "resend-receipt": mailed_receipt,
    "resend-delivery-mail": delivered_pack,
    "resend-credit-mail": told_credit,
    "look-at-headshots": shoot_with_leave,
    "publish-look": draft_of_a_look,
    "restore-look": older_version,
    "pause": lambda: Pause.What.UPLOADS,
    "resume": paused_rendering,
}
ALLOWED = {
    "retry-pack": {"owner", "support"},
    "cancel-pack": {"owner", "support"},
    "purge-photos": {"owner", "support"},
    "purge-everything": {"owner", "support"},
    "block-account": {"owner", "support"},
    "unblock-account": {"owner", "support"},
    "resend-confirmation": {"owner", "support"},
    "reset-second-factor": {"owner"},
    "refund": {"owner", "finance"},
    "grant-credits": {"owner", "support"},
    "grant-pack": {"owner", "support"},
    "resend-receipt": {"owner", "support"},
    "resend-delivery-mail": {"owner", "support"},
    "resend-credit-mail": {"owner", "support"},
    "look-at-headshots": {"owner", "support"},
    "publish-look": {"owner"},
    "restore-look": {"owner"},
    "pause": {"owner"},
    "resume": {"owner"},
}


# What has to be answered besides the reason.
MORE = {
    "refund": {"amount": "19.00", "code": "goodwill"},
    "grant-credits": {"count": "2", "code": "support"},
    "grant-pack": {"code": "support"},
}


def more(code: str) -> dict[str, object]:
    looks = {"styles": list(Style.objects.values_list("pk", flat=True)[:3])} if code == "grant-pack" else {}
    return MORE.get(code, {}) | looks


def address(code: str, thing: object) -> str:
    return f"/admin/do/{code}/{getattr(thing, 'pk', thing)}/"


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the question."""
    fields = re.findall(r'<input type="hidden" name="(seen|submission)"(?: value="([^"]*)")?', page)
    return dict(fields)


def do(client: Client, action: str, thing: object, **changes: str) -> object:
    """Look at the question and answer it at once."""
    answers = hidden(client.get(address(action, thing)).content.decode()) | {"reason": "because it helps"}
    return client.post(address(action, thing), answers | more(action) | changes)


def test_every_action_has_its_test() -> None:
    assert set(THINGS) == set(ALLOWED) == set(ACTIONS)


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize("code", THINGS)
def test_an_action_is_done_by_those_who_may_and_by_nobody_else(code: str, who: str) -> None:
    thing = THINGS[code]()
    state = ACTIONS[code].state_of(ACTIONS[code].load(str(getattr(thing, "pk", thing))))
    client = client_of(who)

    question = client.get(address(code, thing))
    answers = {"reason": "because", "seen": state, "submission": str(uuid4())} | more(code)
    answer = client.post(address(code, thing), answers)

    deeds = list(Deed.objects.values_list("action", "who", "reason"))
    if who in ALLOWED[code]:
        assert question.status_code == 200
        assert answer.status_code == 302
        assert deeds == [(code, int(client.session["_auth_user_id"]), "because")]
    else:
        assert question.status_code == answer.status_code == (302 if who in ("nobody", "person") else 403)
        assert "/admin/login/" in answer.get("Location", "/admin/login/")
        assert not deeds


@pytest.mark.parametrize("code", THINGS)
def test_a_double_click_does_it_once(code: str) -> None:
    thing, client = THINGS[code](), client_of("owner")
    answers = hidden(client.get(address(code, thing)).content.decode()) | {"reason": "because"} | more(code)

    first = client.post(address(code, thing), answers)
    second = client.post(address(code, thing), answers, follow=True)

    deed = Deed.objects.get()
    assert first.status_code == 302
    told = f"That was done already: {deed.title}, {deed.about}"
    assert told in html.unescape(second.content.decode())
    assert f"at {deed.at:%H:%M:%S} UTC on {deed.at:%-d %b %Y} by you." in second.content.decode()


@pytest.mark.parametrize("code", THINGS)
def test_the_question_says_what_it_is_about_and_what_comes_of_it(code: str) -> None:
    thing = THINGS[code]()
    action = ACTIONS[code]

    page = html.unescape(client_of("owner").get(address(code, thing)).content.decode())

    about = name_of(action.load(str(getattr(thing, "pk", thing))))
    assert f"<h1>{action.title}: {about}</h1>" in page
    assert all(effect in page for effect in (*action.effects, action.way_back))
    shoot_id = action.shoot_of(thing)
    assert shoot_id is None or code == "refund" or str(shoot_id) in page or str(thing.pk) in page
    owner = thing if isinstance(thing, User) else getattr(thing, "owner", getattr(thing, "shoot", None))
    owner = owner.owner if isinstance(owner, Shoot) else owner
    assert owner is None or owner.email in page


def test_the_question_names_looks_and_what_a_version_changes() -> None:
    pack, draft = make_preview(), draft_of_a_look()
    client = client_of("owner")

    of_a_pack = client.get(address("cancel-pack", pack)).content.decode()
    of_a_look = client.get(address("publish-look", draft)).content.decode()

    assert pack.headshots.first().look.title in of_a_pack
    assert f"title: {draft.style.title} → Another" in of_a_look


def test_whoever_may_not_see_accounts_is_shown_their_numbers() -> None:
    payment = paid_payment()

    page = client_of("finance").get(address("refund", payment)).content.decode()

    assert f"account {payment.owner_id}" in page
    assert payment.owner.email not in page


def test_two_of_staff_who_help_one_after_the_other_are_told_of_each_other() -> None:
    account, first, second = make_user(), make_staff("support"), signed_in(make_staff("support"))
    answers = hidden(second.get(address("grant-credits", account)).content.decode()) | {"reason": "late"}
    do(signed_in(first), "grant-credits", account, count="1")

    page = second.post(address("grant-credits", account), answers | more("grant-credits")).content.decode()

    assert f"Done to it last: Grant packs, account {account.pk} (1 pack)" in page
    assert f"by account {first.pk}." in page


@pytest.mark.parametrize("code", THINGS)
def test_without_a_reason_nothing_is_done(code: str) -> None:
    thing = THINGS[code]()

    for reason in ("", "x" * 201, "ask ada@example.org"):
        assert do(client_of("owner"), code, thing, reason=reason).status_code == 422

    assert not Deed.objects.exists()


def test_a_failed_pack_is_tried_again_and_keeps_what_was_done() -> None:
    pack = failed_pack()

    do(client_of("support"), "retry-pack", pack)

    pack.refresh_from_db()
    assert pack.state == Pack.State.QUEUED
    assert sorted(pack.headshots.values_list("state", "attempts")) == [("done", 0)] * 3 + [("pending", 0)]
    assert Event.objects.filter(name="pack.queued", actor="staff", pack_id=pack.pk).exists()
    assert Deed.objects.get().shoot_id == pack.shoot_id


def test_a_pack_whose_photos_are_gone_is_not_tried_again() -> None:
    pack, owner = failed_pack(), client_of("owner")
    do(owner, "purge-photos", pack.shoot)

    response = owner.post(
        address("retry-pack", pack), {"reason": "again", "seen": "failed", "submission": str(uuid4())}
    )

    assert response.status_code == 409
    assert "Its photos are gone" in response.content.decode()
    assert Deed.objects.count() == 1


def test_what_has_changed_since_the_question_is_asked_again() -> None:
    pack, owner = make_preview(), client_of("owner")
    answers = hidden(owner.get(address("cancel-pack", pack)).content.decode()) | {"reason": "stuck"}
    advance(pack, Pack.State.RENDERING)

    response = owner.post(address("cancel-pack", pack), answers)
    pack.refresh_from_db()
    state_after = pack.state
    again = do(owner, "cancel-pack", pack)

    assert response.status_code == 409
    assert "It has changed since you looked" in response.content.decode()
    assert state_after == Pack.State.RENDERING
    assert again.status_code == 302
    assert Deed.objects.count() == 1


def test_what_ended_meanwhile_cannot_be_cancelled() -> None:
    pack, owner = make_preview(), client_of("owner")
    rendering.render_pack(pack=pack)

    page = owner.get(address("cancel-pack", pack)).content.decode()
    forced = owner.post(address("cancel-pack", pack), {"reason": "x", "seen": "delivered", "submission": str(uuid4())})

    assert "this one is delivered" in page
    assert forced.status_code == 409
    assert not Deed.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_of_staff_at_the_same_moment_do_it_once() -> None:
    pack = make_preview()
    clients = [client_of("owner"), client_of("support")]
    answers = [
        hidden(each.get(address("cancel-pack", pack)).content.decode()) | {"reason": "stuck"} for each in clients
    ]
    statuses = []

    def click(client: Client, answer: dict[str, str]) -> None:
        try:
            statuses.append(client.post(address("cancel-pack", pack), answer).status_code)
        finally:
            connection.close()

    clicks = [threading.Thread(target=click, args=pair) for pair in zip(clients, answers, strict=True)]
    for each in clicks:
        each.start()
    for each in clicks:
        each.join(30)

    assert sorted(statuses) == [302, 409]
    assert Deed.objects.count() == Event.objects.filter(name="pack.cancelled").count() == 1


def test_purging_destroys_the_key_at_once(django_capture_on_commit_callbacks) -> None:
    shoot = make_shoot()

    with django_capture_on_commit_callbacks(execute=True):
        do(client_of("support"), "purge-photos", shoot)

    shoot.refresh_from_db()
    assert shoot.state == Shoot.State.PURGING
    assert not key_exists(ring="source", key_id=shoot.pk)
    assert Event.objects.get(name="shoot.purging").actor == "staff"


def test_a_blocked_account_is_out_at_once_and_in_again_when_it_is_let_in() -> None:
    account = make_user()
    browser = signed_in(account)
    assert browser.get("/shoots/").status_code == 200

    do(client_of("support"), "block-account", account)
    out = browser.get("/shoots/")
    sessions = Session.objects.filter(account_id=account.pk).count()
    do(client_of("support"), "unblock-account", account)

    assert out.status_code == 302
    assert sessions == 0
    account.refresh_from_db()
    assert account.is_active


@pytest.mark.parametrize("who", ["owner", "support", "root"])
def test_staff_is_not_blocked(who: str) -> None:
    staff = User.objects.create_superuser("root@example.org", "x") if who == "root" else make_staff(who)

    refused = do(client_of("support"), "block-account", staff)

    assert refused.status_code in {409, 422}
    assert "Staff is not blocked here" in refused.content.decode()
    assert User.objects.get(pk=staff.pk).is_active


def test_nobody_grants_packs_to_themselves() -> None:
    staff = make_staff("support")

    refused = do(signed_in(staff), "grant-credits", staff, count="1", code="goodwill")

    assert refused.status_code == 409
    assert not Credit.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_confirmation_mail_is_sent_again() -> None:
    account = make_user()

    do(client_of("support"), "resend-confirmation", account)

    assert [message.to for message in mail.outbox] == [[account.email]]


def test_paused_uploads_are_told_kindly_and_keep_nothing() -> None:
    browser = signed_in(make_user())
    do(client_of("owner"), "pause", Pause.What.UPLOADS)

    page = browser.get("/shoots/new/")
    sent = upload(browser, photos.astronaut_path().read_bytes())
    dashboard = client_of("owner").get("/admin/").content.decode()
    do(client_of("owner"), "resume", Pause.What.UPLOADS)

    assert page.status_code == 200
    assert "We take no new photos for a moment" in page.content.decode()
    assert "<form class" not in page.content.decode()
    assert sent.status_code == 503
    assert not Shoot.objects.exists()
    assert "paused since" in dashboard
    assert "We take no new photos" not in browser.get("/shoots/new/").content.decode()


def test_paused_rendering_leaves_packs_in_the_queue_and_wakes_them_at_once_after(
    valkey, django_capture_on_commit_callbacks
) -> None:
    person = make_user()
    pack = make_preview(person)
    do(client_of("owner"), "pause", Pause.What.RENDERING)

    rendering.render_pack(pack=pack)
    waiting, state = now.queue().packs, Pack.objects.get().state
    page = signed_in(person).get(f"/shoots/{pack.shoot_id}/").content.decode()
    valkey.flushall()
    with django_capture_on_commit_callbacks(execute=True):
        do(client_of("owner"), "resume", Pause.What.RENDERING)
    asked = valkey.llen("default")
    waking.wake_waiting()
    woken = valkey.llen("render")
    rendering.render_pack(pack=pack)

    assert (waiting, state, asked, woken) == (1, Pack.State.QUEUED, 1, 1)
    assert "The studio takes a short break" in page
    assert "Your headshots wait for the studio." in page
    pack.refresh_from_db()
    assert pack.state == Pack.State.DELIVERED


def test_pages_of_rows_offer_what_can_be_done_and_no_more() -> None:
    pack = make_preview()
    page = f"/admin/shoots/pack/{pack.pk}/change/"

    offered = client_of("support").get(page).content.decode()
    advance(pack, Pack.State.CANCELLED)
    ended = client_of("support").get(page).content.decode()

    assert address("cancel-pack", pack) in offered
    assert address("retry-pack", pack) not in offered
    assert address("cancel-pack", pack) not in ended


def test_no_such_action_and_no_such_thing() -> None:
    owner = client_of("owner")

    for path in ("explode/1", f"retry-pack/{uuid4()}", "retry-pack/x", "block-account/999999", "pause/everything"):
        assert owner.get(f"/admin/do/{path}/").status_code == 404


# Money ------------------------------------------------------------------------------------------------------------


def test_a_part_of_a_payment_is_given_back_and_written_down() -> None:
    payment = paid_payment()

    do(client_of("finance"), "refund", payment, amount="4.50", code="quality")
    too_much = do(client_of("finance"), "refund", payment, amount="19.00")

    refund, deed = Refund.objects.get(), Deed.objects.get()
    assert (refund.amount, refund.reason) == (450, "quality")
    assert deed.details == {"amount": "4.50", "code": "quality", "currency": "usd"}
    assert too_much.status_code == 409
    assert "At most $14.50 can be given back" in too_much.content.decode()


def test_granted_packs_are_open_credits() -> None:
    account = make_user()

    do(client_of("support"), "grant-credits", account)

    assert open_credits(account).count() == 2
    assert set(Credit.objects.values_list("source", "reason")) == {("grant", "support")}


def test_a_granted_pack_is_queued_in_the_chosen_looks() -> None:
    shoot = make_checked_shoot()

    do(client_of("support"), "grant-pack", shoot)

    pack = Pack.objects.get(kind="premium")
    assert pack.state == Pack.State.QUEUED
    assert pack.headshots.order_by().values("style").distinct().count() == 3
    assert Credit.objects.get().pack == pack
    assert "is being made" in client_of("support").get(address("grant-pack", shoot)).content.decode()


def test_a_failed_premium_pack_needs_an_open_credit_to_be_tried_again() -> None:
    shoot = make_checked_shoot()
    do(client_of("owner"), "grant-pack", shoot)
    pack = Pack.objects.get(kind="premium")
    advance(pack, Pack.State.RENDERING)
    advance(pack, Pack.State.FAILED, reason="engine_failed")
    give_back_credit(pack=pack)
    Credit.objects.update(state="refunded")

    without = client_of("support").get(address("retry-pack", pack)).content.decode()
    do(client_of("support"), "grant-credits", shoot.owner, count="1")
    answer = do(client_of("support"), "retry-pack", pack)

    pack.refresh_from_db()
    assert "no open credit" in without
    assert answer.status_code == 302
    assert pack.state == Pack.State.QUEUED
    assert Credit.objects.get(state="used").pack == pack


def test_mails_are_sent_again(valkey, django_capture_on_commit_callbacks) -> None:
    receipt, credit, pack = mailed_receipt(), told_credit(), delivered_pack()

    with django_capture_on_commit_callbacks(execute=True):
        do(client_of("support"), "resend-receipt", receipt)
        do(client_of("support"), "resend-credit-mail", credit)
        do(client_of("support"), "resend-delivery-mail", pack)
    pack.refresh_from_db()
    send_delivery_mail(pack=pack)
    mail_receipt(Receipt.objects.get())
    send_credit_mail(credit=Credit.objects.select_related("owner", "payment").get())

    sent = {json.loads(message)["headers"]["task"] for message in valkey.lrange("default", 0, -1)}
    assert sent == {"retention.mail_receipt", "payments.send_mail", "shoots.mail_delivered"}
    app.loader.import_default_modules()
    assert sent <= set(app.tasks)
    assert sorted(message.to[0] for message in mail.outbox) == sorted(
        each.email for each in (receipt.owner, credit.owner, pack.shoot.owner)
    )
