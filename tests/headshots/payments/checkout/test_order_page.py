"""The pages of money, as the buyer, a stranger and nobody sees them; paid at the test checkout."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from headshots.accounts.models import User
from headshots.payments.checkout.deadlines import checkout_deadline
from headshots.payments.models import Credit, Payment, WebhookEvent
from headshots.payments.tasks import send_mail
from headshots.runtime.operator import OperatorDetails
from headshots.shoots.consent import current
from headshots.shoots.lifecycle import advance, begin_purge, record
from headshots.shoots.models import Event, Pack, Photo, Shoot
from headshots.vault.services import write_blob
from tests.helpers.factories import make_checked_shoot, make_delivered, make_premium, make_user
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import deliver, looks, session_of, state

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine", "at_the_test_checkout")]


def order(browser: Client, shoot: Shoot, count: int = 3, **more: str) -> "object":
    form = {"styles": [look.name for look in looks(count)], "known_orders": "0", "begin_now": "on", **more}
    return browser.post(f"/shoots/{shoot.pk}/order/", form)


def test_the_order_page_shows_looks_price_time_and_what_is_sold(
    browser: Client, shoot: Shoot, settings: LazySettings
) -> None:
    settings.HEADSHOTS_PRICE = "18.50"

    page = browser.get(f"/shoots/{shoot.pk}/order/")

    text = page.content.decode()
    assert page.status_code == 200
    assert "<strong>$18.50</strong> (nothing is added)" in text
    assert "Order and pay" in text
    assert text.count(" checked") == 5
    assert "Please pay by" in text
    assert "TEST" in text


def test_what_is_sold_by_whom_and_for_how_much_stands_before_the_button(
    browser: Client, shoot: Shoot, settings: LazySettings
) -> None:
    settings.HEADSHOTS_OPERATOR, settings.HEADSHOTS_SUPPORT_EMAIL = "Example Ltd", "support@example.org"
    details = OperatorDetails("1 Some Street, Sometown", "Norway", tax_note="including 25% VAT")
    settings.HEADSHOTS_OPERATOR_DETAILS = details

    for path in (f"/shoots/{shoot.pk}/order/", "/pricing/"):
        before_button = browser.get(path).content.decode().split("Order and pay</button>")[0]
        assert "Example Ltd, 1 Some Street, Sometown, Norway" in before_button
        assert "<strong>$19</strong> (including 25% VAT)" in before_button
        assert "Prints, retouching by hand, and storage." in before_button
        assert "<dt>Delivery</dt>" in before_button


def test_an_order_needs_the_request_to_begin_and_records_and_mails_its_version(
    browser: Client, shoot: Shoot, person: User, settings: LazySettings
) -> None:
    settings.HEADSHOTS_SUPPORT_EMAIL = "support@example.org"
    missing, outdated = order(browser, shoot, begin_now=""), order(browser, shoot, begin_now="2020-01-01")
    assert not Payment.objects.exists()

    browser.post(order(browser, shoot).url, {"card": "good"})
    send_mail(str(Credit.objects.get().pk))

    assert (missing.status_code, outdated.status_code) == (422, 422)
    assert "Please check this box" in missing.content.decode()
    assert "This text has changed" in outdated.content.decode()
    pack, text = Pack.objects.get(kind="premium"), current("begin_now")
    recorded = Event.objects.get(name="order.begin_now")
    assert (recorded.pack_id, recorded.actor, recorded.codes) == (pack.pk, "person", {"version": text.version})
    (message,) = mail.outbox
    assert message.to == [person.email]
    assert text.text in message.body
    assert f"(version {text.version})" in message.body
    assert f"Order number: {Payment.objects.get().pk}" in message.body
    assert "Total: $19" in message.body
    assert "To withdraw from the contract, open this page or email support@example.org." in message.body
    assert "\n\n\n" not in message.body.strip()


def test_a_paid_pack_that_was_bought_before_is_confirmed_when_it_is_used_and_a_granted_one_is_not(
    browser: Client, person: User
) -> None:
    browser.post("/pricing/")
    browser.post(f"/test-checkout/{session_of(Payment.objects.get())}/", {"card": "good"})
    order(browser, make_checked_shoot(person), credit="1")
    paid = Credit.objects.get()
    granted = Credit.objects.create(owner=person, source=Credit.Source.GRANT)
    order(browser, make_checked_shoot(person), credit="1")

    granted.refresh_from_db()
    assert (paid.state, paid.pending_mail) == ("used", "ordered")
    assert (granted.state, granted.pending_mail) == ("used", "")
    assert Event.objects.filter(name="order.begin_now").count() == 2


def test_the_studio_says_that_clothes_stay(browser: Client, shoot: Shoot, settings: LazySettings) -> None:
    settings.HEADSHOTS_ENGINE = "studio"
    settings.HEADSHOTS_STUDIO_PRICE = "9"

    text = browser.get(f"/shoots/{shoot.pk}/order/").content.decode()

    assert "Your clothes, pose and expression stay the same." in text
    assert "<strong>$9</strong>" in text


@pytest.mark.parametrize(
    ("tips", "engine_name", "words"),
    [
        ([["sharper_for_4k"]], "studio", "Your photos have too little detail for sharp 4K"),
        ([["hold_still", "sharper_for_4k"], ["send_original"]], "studio", "Some of your photos have too little detail"),
        ([["send_original"]], "studio", ""),
        ([["sharper_for_4k"]], "instantid", ""),
    ],
)
def test_the_order_page_says_before_pay_that_4k_will_be_soft(
    browser: Client, shoot: Shoot, settings: LazySettings, tips: list[list[str]], engine_name: str, words: str
) -> None:
    settings.HEADSHOTS_ENGINE = engine_name
    settings.HEADSHOTS_STUDIO_PRICE = "9"
    photo = shoot.photos.get()
    photo.tips = tips[0]
    photo.save()
    for position, each in enumerate(tips[1:], start=1):
        blob = write_blob(ring="source", key_id=shoot.pk, kind="photo", data=b"another photo")
        shoot.photos.create(position=position, state=Photo.State.ACCEPTED, tips=each, blob=blob)

    text = browser.get(f"/shoots/{shoot.pk}/order/").content.decode()

    before_pay = text[: text.index("Order and pay")]
    assert words in before_pay
    assert ("too little detail" in text) == bool(words)


@pytest.mark.parametrize("path", ["/shoots/{shoot}/order/", "/payments/{payment}/", "/test-checkout/{session}/"])
def test_a_stranger_finds_nothing(browser: Client, shoot: Shoot, path: str) -> None:
    order(browser, shoot)
    payment = Payment.objects.get()
    address = path.format(shoot=shoot.pk, payment=payment.pk, session=payment.session_id)
    assert browser.get(address).status_code == 200
    stranger = Client()
    stranger.force_login(make_user())

    assert stranger.get(address).status_code == 404
    assert stranger.post(address).status_code in {404, 405}
    assert Client().get(address).status_code in {302, 404}


def test_from_the_order_over_the_test_checkout_to_a_page_that_knows(browser: Client, shoot: Shoot) -> None:
    to_checkout = order(browser, shoot, keep_photos="on")
    payment = Payment.objects.get()
    checkout = browser.get(to_checkout.url)
    back = browser.post(to_checkout.url, {"card": "good"})
    arrived = browser.get(back.url, follow=True)

    assert to_checkout.status_code == back.status_code == 303
    assert "TEST checkout" in checkout.content.decode()
    assert state(payment) == ("paid", "used", "queued")
    assert arrived.redirect_chain == [(f"/shoots/{shoot.pk}/", 302)]
    assert "You paid $19" in arrived.content.decode()
    # By a signed webhook, like everywhere.
    assert list(WebhookEvent.objects.values_list("type", "outcome")) == [("checkout.session.completed", "done")]
    shoot.refresh_from_db()
    assert shoot.keep_photos


def test_a_declined_test_card_charges_nothing(browser: Client, shoot: Shoot) -> None:
    url = order(browser, shoot).url

    page = browser.post(url, {"card": "bad"})

    assert "declined" in page.content.decode()
    assert state(Payment.objects.get()) == ("open", None, "awaiting_payment")


@pytest.mark.parametrize("name", ["HEADSHOTS_TEST_CHECKOUT", "DEBUG"])
def test_the_test_checkout_is_not_there_where_it_is_off(
    browser: Client, shoot: Shoot, settings: LazySettings, name: str
) -> None:
    url = order(browser, shoot).url
    setattr(settings, name, False)

    assert browser.get(url).status_code == 404
    assert browser.post(url, {"card": "good"}).status_code == 404
    assert state(Payment.objects.get()) == ("open", None, "awaiting_payment")
    page = browser.get(f"/shoots/{shoot.pk}/order/")
    assert "Packs aren’t for sale" in page.content.decode()
    assert "TEST" not in page.content.decode()


def test_repeated_clicks_and_the_back_button_lead_to_one_checkout(browser: Client, shoot: Shoot) -> None:
    first, second = order(browser, shoot), order(browser, shoot)

    assert first.url == second.url
    browser.post(first.url, {"card": "good"})
    third = order(browser, shoot)

    assert third.status_code == 409
    assert "You weren’t charged again" in third.content.decode()
    assert Payment.objects.count() == Pack.objects.filter(kind="premium").count() == 1


def test_other_looks_close_the_first_checkout(browser: Client, shoot: Shoot) -> None:
    first = order(browser, shoot, count=3)
    old = Payment.objects.get()
    second = order(browser, shoot, count=4)

    too_late = browser.post(first.url, {"card": "good"})
    browser.post(second.url, {"card": "good"})

    assert "This checkout has expired" in too_late.content.decode()
    assert state(old) == ("expired", None, "canceled")
    assert state(Payment.objects.exclude(pk=old.pk).get()) == ("paid", "used", "queued")


def test_an_order_from_a_page_that_is_out_of_date_is_shown_again_first(browser: Client, shoot: Shoot) -> None:
    browser.post(order(browser, shoot, keep_photos="on").url, {"card": "good"})
    pack = Pack.objects.get(kind="premium")
    advance(pack, Pack.State.RENDERING)
    advance(pack, Pack.State.DELIVERED)

    stale = order(browser, shoot, count=4, known_orders="0")
    again = order(browser, shoot, count=4, known_orders=str(stale.context["form"]["known_orders"].value()))

    assert stale.status_code == 409
    assert "already ordered a pack from this shoot" in stale.content.decode()
    assert again.status_code == 303
    assert Payment.objects.count() == 2


def test_no_look_and_unknown_looks_are_refused_in_the_form(browser: Client, shoot: Shoot) -> None:
    for names in ([], ["no-such-look"]):
        page = browser.post(f"/shoots/{shoot.pk}/order/", {"styles": names, "known_orders": "0", "begin_now": "on"})
        assert page.status_code == 422
    assert not Payment.objects.exists()


def test_too_few_looks_for_fifty_are_refused_and_nothing_is_charged(
    browser: Client, shoot: Shoot, settings: LazySettings
) -> None:
    settings.HEADSHOTS_PREMIUM_COUNT = 50

    page = order(browser, shoot, count=1)

    assert page.status_code == 409
    assert "choose more looks" in page.content.decode()
    assert "50 different headshots, choose at least 3 looks with different backgrounds." in page.content.decode()
    assert "Choose at least 3. Your 50 headshots are spread across them." in page.content.decode()
    assert not Payment.objects.exists()


def test_a_checkout_does_not_open_when_the_photos_go_before_the_pack_is_done(browser: Client, shoot: Shoot) -> None:
    Shoot.objects.filter(pk=shoot.pk).update(delete_after=timezone.now() + timedelta(minutes=33))

    shown = browser.get(f"/shoots/{shoot.pk}/order/").content.decode()
    tried = order(browser, shoot)

    assert "there isn’t enough time left" in shown
    assert "Order and pay" not in shown
    assert tried.status_code == 409
    assert not Payment.objects.exists()


def test_a_checkout_closes_in_time_for_the_photos_by_what_packs_took_here(browser: Client, shoot: Shoot) -> None:
    leaves = timezone.now() + timedelta(hours=2)
    Shoot.objects.filter(pk=shoot.pk).update(delete_after=leaves)
    Pack.objects.all().delete()
    codes = {"kind": Pack.Kind.PREMIUM, "engine": "fake"}
    record("pack.prepared", shoot_id=shoot.pk, codes=codes, numbers={"seconds": 40.0})
    record("pack.rendered", shoot_id=shoot.pk, codes=codes, numbers={"pictures": 10, "seconds": 120.0})

    order(browser, shoot)

    # Three minutes to load an engine; the person and four headshots of twelve seconds, and half of that more.
    assert Payment.objects.get().expires_at == leaves - timedelta(minutes=3, seconds=1.5 * (40 + 4 * 12))


def test_a_checkout_closes_earlier_when_packs_are_queued(shoot: Shoot) -> None:
    shoot.delete_after = timezone.now() + timedelta(hours=2)
    alone = checkout_deadline(shoot, engine_name="fake", count=4)
    make_premium(make_user())

    behind = checkout_deadline(shoot, engine_name="fake", count=4)

    assert alone is not None
    assert behind is not None
    assert behind < alone


def test_photos_that_have_gone_or_will_not_do_cannot_be_ordered_from(browser: Client, shoot: Shoot) -> None:
    Photo.objects.filter(shoot=shoot).update(state=Photo.State.REFUSED)
    no_photo = browser.get(f"/shoots/{shoot.pk}/order/").content.decode(), order(browser, shoot)
    begin_purge(shoot)
    gone = browser.get(f"/shoots/{shoot.pk}/order/").content.decode(), order(browser, shoot)

    assert "No usable photo yet" in no_photo[0]
    assert "This shoot’s photos have been deleted" in gone[0]
    assert no_photo[1].status_code == gone[1].status_code == 409
    assert not Payment.objects.exists()


def test_an_open_credit_is_used_instead_of_money(browser: Client, person: User, shoot: Shoot) -> None:
    credit = Credit.objects.create(owner=person, source=Credit.Source.GRANT)

    shown = browser.get(f"/shoots/{shoot.pk}/order/").content.decode()
    answer = order(browser, shoot, credit="1")

    credit.refresh_from_db()
    assert "Use your pack" in shown
    assert answer.url == f"/shoots/{shoot.pk}/"
    assert credit.state == Credit.State.USED
    assert credit.pack is not None
    assert credit.pack.state == Pack.State.QUEUED
    assert not Payment.objects.exists()


def test_who_has_a_pack_is_not_asked_for_its_price_on_the_page_of_a_shoot(browser: Client, person: User) -> None:
    shoot = make_delivered(person).shoot
    without = browser.get(f"/shoots/{shoot.pk}/").content.decode()
    Credit.objects.create(owner=person, source=Credit.Source.GRANT)
    having = browser.get(f"/shoots/{shoot.pk}/").content.decode()

    assert "Get the full pack for $19" in without
    assert "Use your pack" in having
    assert "$19" not in having


def test_only_a_page_that_offers_a_pack_asks_whether_there_is_one(browser: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert browser.get("/how-it-works/").status_code == 200

    assert not [query for query in queries if "payments_credit" in query["sql"]]


def test_nobody_who_has_a_pack_is_led_to_a_checkout(browser: Client, person: User, shoot: Shoot) -> None:
    order(browser, shoot)
    Credit.objects.create(owner=person, source=Credit.Source.GRANT)

    # From pages that were opened before it came.
    answers = order(browser, shoot), order(browser, shoot, count=4), browser.post("/pricing/")

    assert [answer.status_code for answer in answers] == [409, 409, 409]
    assert all("You already have an unused pack" in answer.content.decode() for answer in answers)
    assert Payment.objects.count() == 1
    assert Credit.objects.get().state == Credit.State.OPEN


def test_paying_first_and_uploading_later(browser: Client, person: User, shoot: Shoot) -> None:
    checkout = browser.post("/pricing/")
    again = browser.post("/pricing/")
    back = browser.post(checkout.url, {"card": "good"})
    receipt = browser.get(back.url)

    assert checkout.url == again.url
    assert Credit.objects.get().state == Credit.State.OPEN
    assert "Your unused pack" in receipt.content.decode()
    assert "Use your pack" in browser.get(f"/shoots/{shoot.pk}/order/").content.decode()
    order(browser, shoot, credit="1")
    assert state(Payment.objects.get()) == ("paid", "used", None)
    assert Credit.objects.get().pack is not None


def test_whoever_has_paid_may_upload_beyond_the_free_shoots(person: User, settings: LazySettings) -> None:
    from headshots.shoots.uploads.new_shoot import previews_left

    settings.HEADSHOTS_PREVIEWS_PER_DAY = 0
    assert previews_left(person) == 0

    Credit.objects.create(owner=person, source=Credit.Source.GRANT)

    assert previews_left(person) == 1


def test_what_the_test_checkout_sold_buys_nothing_for_real(
    browser: Client, shoot: Shoot, settings: LazySettings, stripe: FakeStripe
) -> None:
    settings.HEADSHOTS_STRIPE_SECRET_KEY = ""
    settings.HEADSHOTS_TEST_CHECKOUT = True
    browser.post(browser.post("/pricing/").url, {"card": "good"})
    settings.HEADSHOTS_STRIPE_SECRET_KEY = "sk_test_0123456789"
    settings.HEADSHOTS_TEST_CHECKOUT = False

    page = browser.get(f"/shoots/{shoot.pk}/order/").content.decode()

    assert Credit.objects.get().state == Credit.State.OPEN
    assert "Use your pack" not in page


def test_stripes_page_and_the_way_back(browser: Client, shoot: Shoot, stripe: FakeStripe) -> None:
    answer = order(browser, shoot)
    payment = Payment.objects.get()
    session = stripe.sessions[session_of(payment)]

    assert answer.url == session["url"]
    assert session["success_url"] == f"http://testserver/payments/{payment.pk}/?returned"
    assert session["cancel_url"] == f"http://testserver/shoots/{shoot.pk}/order/"
    # Ids only: nothing of the person goes to Stripe from us.
    assert session["metadata"] == {"payment": str(payment.pk)}
    assert session["client_reference_id"] == str(payment.pk)
    assert session["customer_email"] is None
    # Back before the webhook: the page asks Stripe itself.
    stripe.pay(session["id"])
    assert browser.get(f"/payments/{payment.pk}/?returned").url == f"/shoots/{shoot.pk}/"
    assert state(payment) == ("paid", "used", "queued")


def test_when_stripe_is_away_nothing_is_charged_and_the_order_is_kept(
    browser: Client, shoot: Shoot, stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headshots.payments.stripe.client._RETRIES", 0)
    stripe.away = 1

    away = order(browser, shoot)
    again = order(browser, shoot)

    assert away.status_code == 503
    assert "Nothing was charged" in away.content.decode()
    assert again.status_code == 303
    assert len(stripe.sessions) == Payment.objects.count() == 1


def test_an_answer_of_stripes_that_got_lost_is_asked_for_again(
    browser: Client, shoot: Shoot, stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headshots.payments.stripe.client._RETRIES", 0)
    stripe.lost_answers = 1

    assert order(browser, shoot).status_code == 503
    assert order(browser, shoot).status_code == 303
    assert len(stripe.sessions) == 1


def test_a_checkout_that_was_paid_in_another_tab_is_not_charged_again(
    browser: Client, shoot: Shoot, stripe: FakeStripe
) -> None:
    order(browser, shoot)
    payment = Payment.objects.get()
    event = stripe.pay(session_of(payment))

    # The webhook has not come: the new order finds out when it wants to close the old checkout.
    other_looks = order(browser, shoot, count=4)

    assert other_looks.status_code == 409
    assert state(payment) == ("paid", "used", "queued")
    assert deliver(event) == [200]
    assert len(stripe.sessions) == 1
    assert stripe.balance == 1900


def test_an_expired_checkout_and_a_new_one_make_one_charge(browser: Client, shoot: Shoot, stripe: FakeStripe) -> None:
    order(browser, shoot)
    first = Payment.objects.get()
    stripe.expire(session_of(first))

    order(browser, shoot)
    second = Payment.objects.exclude(pk=first.pk).get()
    deliver(stripe.pay(session_of(second)), *stripe.events)

    assert state(first) == ("expired", None, "canceled")
    assert state(second) == ("paid", "used", "queued")
    assert stripe.balance == 1900


def test_a_purchase_that_was_paid_in_another_tab_is_not_charged_again(browser: Client, stripe: FakeStripe) -> None:
    browser.post("/pricing/")
    stripe.pay(session_of(Payment.objects.get()))

    again = browser.post("/pricing/")

    assert again.url == f"/payments/{Payment.objects.get().pk}/"
    assert stripe.balance == 1900
    assert Credit.objects.get().state == Credit.State.OPEN


def test_another_price_closes_the_first_checkout(browser: Client, stripe: FakeStripe, settings: LazySettings) -> None:
    browser.post("/pricing/")
    old = Payment.objects.get()
    settings.HEADSHOTS_PRICE = "29"

    browser.post("/pricing/")

    assert stripe.sessions[session_of(old)]["status"] == "expired"
    assert stripe.sessions[session_of(Payment.objects.exclude(pk=old.pk).get())]["amount_total"] == 2900


def test_the_pages_of_money_open(browser: Client, shoot: Shoot) -> None:
    browser.post(order(browser, shoot).url, {"card": "good"})
    payment = Payment.objects.get()
    pack = Pack.objects.get(kind="premium")

    for path in ("/pricing/", "/payments/", f"/payments/{payment.pk}/", f"/payments/packs/{pack.pk}/redo/"):
        assert browser.get(path).status_code == 200
    assert Client().get("/pricing/").status_code == 200
    assert Client().get("/payments/").status_code == 302
