"""The money of incomplete packs: how much is refunded, once, whatever else happens to the payment; and what is said."""

import re
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.core import mail
from django.test import Client
from django.utils import timezone

from headshots.accounts.models import User
from headshots.data_rights.services import begin_account_deletion, finish_account_deletion
from headshots.payments import tasks
from headshots.payments.accounting import incomplete
from headshots.payments.accounting.credits import can_redo, return_credit
from headshots.payments.accounting.incomplete import build_offer, refund_missing
from headshots.payments.accounting.refunds import request_refund, send_refund
from headshots.payments.checkout.orders import order_with_money
from headshots.payments.errors import OrderRefused, Refusal
from headshots.payments.models import Credit, Payment, Refund
from headshots.payments.prices import share_of_amount
from headshots.payments.reconciliation import reconcile
from headshots.shoots.lifecycle import TASKS_ON_ENTRY, advance, begin_purge
from headshots.shoots.models import Headshot, Pack
from headshots.shoots.packs.orders import answer_incomplete
from tests.helpers.factories import seed_styles
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import bare_shoot, deliver, ledger_sum, looks, order_of, paid, state

pytestmark = pytest.mark.django_db

# 19 dollars for five headshots, of which four are there.
PART = 380


@pytest.fixture(autouse=True)
def small_packs(settings: LazySettings, fake_engine: None, request: pytest.FixtureRequest) -> None:
    if "stripe" in request.fixturenames:
        request.getfixturevalue("stripe")
    settings.HEADSHOTS_PREMIUM_COUNT = 5
    seed_styles()


def ask(pack: Pack | None, done: int = 4) -> Pack:
    """The pack comes to its question with so many headshots."""
    assert pack is not None
    advance(pack, Pack.State.RENDERING)
    Headshot.objects.filter(pack=pack).update(state="rejected")
    Headshot.objects.filter(pack=pack, index__lt=done).update(state="done", done_at=timezone.now())
    assert advance(pack, Pack.State.AWAITING_ANSWER, reason="not_alike")
    return pack


def asked(stripe: FakeStripe, person: User, done: int = 4) -> tuple[Payment, Pack]:
    payment = paid(stripe, bare_shoot(person))
    return payment, ask(payment.pack, done)


def without_payment(person: User, source: str) -> Pack:
    shoot = bare_shoot(person)
    pack = Pack.objects.create(
        shoot=shoot, kind="premium", state="queued", total=5, width=640, height=800, seed=1, engine="fake",
        queued_at=timezone.now(),
    )  # fmt: skip
    Headshot.objects.bulk_create(Headshot(pack=pack, index=i, style=looks(1)[0], seed=i) for i in range(5))
    Credit.objects.create(owner=person, source=source, state="used", pack=pack)
    return ask(pack)


def amounts() -> list[tuple[str, int]]:
    return list(Refund.objects.values_list("reason", "amount"))


def text_of(response: object) -> str:
    page = response.content.decode()  # type: ignore[attr-defined]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page))


@pytest.mark.parametrize(
    ("amount", "currency", "part", "whole", "refunded"),
    [
        (1900, "usd", 10, 50, 380),
        (1900, "usd", 8, 50, 304),
        # Rounded in the customer's favor: to whole cents, and to what can be paid in the currency.
        (1900, "usd", 1, 3, 634),
        (1999, "eur", 7, 50, 280),
        (2000, "jpy", 1, 3, 667),
        (250000, "isk", 1, 3, 83400),
        (19000, "kwd", 1, 3, 6340),
        (1900, "usd", 0, 50, 0),
        (0, "usd", 8, 50, 0),
    ],
)
def test_the_part_of_an_amount(amount: int, currency: str, part: int, whole: int, refunded: int) -> None:
    assert share_of_amount(amount, currency, part=part, whole=whole) == refunded


def test_who_keeps_an_incomplete_pack_gets_the_part_back_once(stripe: FakeStripe, person: User) -> None:
    payment, pack = asked(stripe, person)
    assert answer_incomplete(pack=pack, keep=True)

    refund, second = refund_missing(pack=pack), refund_missing(pack=pack)
    noted = ledger_sum()
    assert refund is not None
    send_refund(refund=refund)
    deliver(*stripe.events, *stripe.events)
    reconcile()

    assert second is None
    # Noted first, then asked of Stripe: the ledger has it when Stripe has moved it.
    assert noted == 1900
    assert amounts() == [("missing", PART)]
    assert ledger_sum() == stripe.balance == 1900 - PART
    assert state(payment) == ("paid", "used", "delivered")
    assert can_redo(pack)


def test_a_process_that_dies_before_the_refund_is_noted_loses_nothing(
    stripe: FakeStripe, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, pack = asked(stripe, person)
    begin_purge(pack.shoot)

    def die(**_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(incomplete, "request_refund", die)
        with pytest.raises(KeyboardInterrupt):
            refund_missing(pack=pack)
    still_due = Pack.objects.get(pk=pack.pk).refund_due
    reconcile()
    Refund.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    reconcile()

    assert still_due
    assert amounts() == [("missing", PART)]
    assert ledger_sum() == stripe.balance == 1900 - PART


def test_who_cancels_has_the_whole_pack_back_and_may_have_all_the_money(stripe: FakeStripe, person: User) -> None:
    payment, pack = asked(stripe, person)
    assert answer_incomplete(pack=pack, keep=False)

    assert refund_missing(pack=pack) is None
    reconcile()
    back = state(payment)
    request_refund(payment=payment, reason=Refund.Reason.PERSON)

    assert back == ("paid", "open", "canceled")
    assert amounts() == [("person", 1900)]


@pytest.mark.parametrize(("before", "refunded"), [(500, PART), (1600, 300), (1890, 10)])
def test_what_staff_refunded_meanwhile_is_not_refunded_twice(
    stripe: FakeStripe, person: User, before: int, refunded: int
) -> None:
    payment, pack = asked(stripe, person)
    request_refund(payment=payment, reason=Refund.Reason.GOODWILL, amount=before)
    promised = build_offer(pack).money
    answer_incomplete(pack=pack, keep=True)

    refund_missing(pack=pack)

    assert promised == f"${refunded / 100:.2f}".removesuffix(".00")
    assert amounts() == [("goodwill", before), ("missing", refunded)]


def test_a_full_refund_ends_the_question(stripe: FakeStripe, person: User) -> None:
    payment, pack = asked(stripe, person)
    request_refund(payment=payment, reason=Refund.Reason.GOODWILL)

    answered = [answer_incomplete(pack=pack, keep=keep) for keep in (True, False)]
    begin_purge(pack.shoot)
    reconcile()

    assert answered == [False, False]
    assert state(payment) == ("paid", "refunded", "revoked")
    assert amounts() == [("goodwill", 1900)]


def test_all_money_that_staff_refunded_after_the_answer_settles_it(stripe: FakeStripe, person: User) -> None:
    payment, pack = asked(stripe, person)
    answer_incomplete(pack=pack, keep=True)
    request_refund(payment=payment, reason=Refund.Reason.QUALITY)

    reconcile()

    pack.refresh_from_db()
    assert not pack.refund_due
    assert amounts() == [("quality", 1900)]


@pytest.mark.parametrize(("won", "refunds"), [(True, [("missing", PART)]), (False, [])])
def test_a_dispute_postpones_the_refund(
    stripe: FakeStripe, person: User, won: bool, refunds: list[tuple[str, int]]
) -> None:
    payment, pack = asked(stripe, person)
    answer_incomplete(pack=pack, keep=True)
    stripe.dispute(payment.payment_intent)
    deliver(*stripe.events)

    early = refund_missing(pack=pack)
    reconcile()
    still_due = Pack.objects.get(pk=pack.pk).refund_due
    stripe.close_dispute(next(iter(stripe.disputes)), won=won)
    deliver(*stripe.events)
    reconcile()

    assert (early, still_due) == (None, True)
    assert amounts() == refunds
    assert not Pack.objects.get(pk=pack.pk).refund_due


def test_in_another_payment_mode_the_refund_waits(stripe: FakeStripe, person: User, settings: LazySettings) -> None:
    _, pack = asked(stripe, person)
    answer_incomplete(pack=pack, keep=True)
    settings.HEADSHOTS_LIVE_PAYMENTS = True
    assert refund_missing(pack=pack) is None
    settings.HEADSHOTS_LIVE_PAYMENTS = False

    assert refund_missing(pack=pack) is not None


@pytest.mark.parametrize("source", ["grant", "redo"])
def test_a_credit_without_a_payment_is_kept_or_made_again(stripe: FakeStripe, person: User, source: str) -> None:
    kept, again = without_payment(person, source), without_payment(person, source)
    answer_incomplete(pack=kept, keep=True)
    answer_incomplete(pack=again, keep=False)

    reconcile()
    return_credit(pack=again)

    kept.refresh_from_db()
    assert build_offer(kept).money == build_offer(kept).full_money == ""
    assert not kept.refund_due
    assert not Refund.objects.exists()
    assert Credit.objects.get(pack=kept).state == Credit.State.USED
    assert Credit.objects.get(pack=None).state == Credit.State.OPEN


def test_an_account_that_is_deleted_instead_of_answering_gets_the_part_back(stripe: FakeStripe, person: User) -> None:
    payment, _ = asked(stripe, person)

    begin_account_deletion(owner=person, certificate_id=payment.pk)
    while not finish_account_deletion(owner=person):
        pass
    reconcile()

    assert amounts() == [("missing", PART)]
    assert Payment.objects.get().owner is None


def test_the_moves_start_what_follows() -> None:
    assert "payments.mail_question" in TASKS_ON_ENTRY[Pack.State.AWAITING_ANSWER]
    assert "payments.refund_missing" in TASKS_ON_ENTRY[Pack.State.DELIVERED]


def test_nothing_else_can_be_ordered_before_the_answer(stripe: FakeStripe, person: User, browser: Client) -> None:
    _, pack = asked(stripe, person)

    page = text_of(browser.get(f"/shoots/{pack.shoot_id}/order/"))
    with pytest.raises(OrderRefused, match=Refusal.PACK_IS_LIVE):
        order_with_money(order=order_of(pack.shoot), owner=person)

    assert "Your last pack needs your answer" in page


# On pages and by mail -----------------------------------------------------------------------------------------------


def test_the_page_asks_and_takes_the_answer_once(stripe: FakeStripe, person: User, browser: Client) -> None:
    _, pack = asked(stripe, person)
    address = f"/payments/packs/{pack.pk}/answer/"

    shoot_page = browser.get(f"/shoots/{pack.shoot_id}/")
    asking = text_of(browser.get(address))
    kept = text_of(browser.post(address, {"answer": "keep"}, follow=True))
    second = text_of(browser.post(address, {"answer": "cancel"}, follow=True))
    tasks.refund_missing(str(pack.pk))
    later = text_of(browser.get(f"/shoots/{pack.shoot_id}/"))

    assert address in shoot_page.content.decode()
    said = text_of(shoot_page)
    assert "4 of your 5 headshots are ready" in said
    assert "keep them and get $3.80 back" in said
    assert "Keep 4 headshots, get $3.80 back" in asking
    assert "Or get a refund of $19." in asking
    assert "You’re keeping your 4 headshots. We’re refunding $3.80 for the missing ones." in kept
    assert "This pack doesn’t need an answer anymore." in second
    assert "Your 4 headshots at" in later
    assert "$3.80 is being refunded for the missing headshots" in later
    assert Pack.objects.get(pk=pack.pk).state == Pack.State.DELIVERED
    # Nothing is asked any more.
    assert browser.get(address).status_code == 302


def test_the_page_cancels(stripe: FakeStripe, person: User, browser: Client) -> None:
    payment, pack = asked(stripe, person)

    page = text_of(browser.post(f"/payments/packs/{pack.pk}/answer/", {"answer": "cancel"}, follow=True))
    tasks.return_credit(str(pack.pk))
    tasks.send_mail(str(Credit.objects.get().pk))

    assert "The pack is canceled and back in your account." in page
    assert "You canceled this pack because 1 of its 5 headshots was missing." in page
    assert state(payment) == ("paid", "open", "canceled")
    assert "You canceled your pack because some of its 5 headshots were missing." in mail.outbox[0].body


@pytest.mark.parametrize("source", ["grant", "redo"])
def test_the_page_promises_no_money_where_none_was_paid(
    stripe: FakeStripe, person: User, browser: Client, source: str
) -> None:
    pack = without_payment(person, source)

    pages = (
        text_of(browser.get(f"/shoots/{pack.shoot_id}/")),
        text_of(browser.get(f"/payments/packs/{pack.pk}/answer/")),
    )
    tasks.mail_question(str(pack.pk))

    for words in (*pages, mail.outbox[0].body):
        assert "made again" in words
        assert "$" not in words
    assert ("your free redo is back" in pages[1]) == (source == "redo")


def test_only_the_owner_can_answer(stripe: FakeStripe, person: User, client: Client) -> None:
    _, pack = asked(stripe, person)
    client.force_login(User.objects.create_user("other@example.org", "a long enough pass phrase"))

    assert client.post(f"/payments/packs/{pack.pk}/answer/", {"answer": "keep"}).status_code == 404
    assert Pack.objects.get(pk=pack.pk).state == Pack.State.AWAITING_ANSWER


def test_the_question_is_mailed_once_also_when_the_message_was_lost(
    stripe: FakeStripe, person: User, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks
) -> None:
    _, pack = asked(stripe, person)
    # The order's own email has been sent.
    Credit.objects.update(pending_mail=Credit.Mail.NONE)
    sent: list[str] = []
    monkeypatch.setattr("headshots.payments.reconciliation.send_on_commit", lambda task, row: sent.append(task))

    reconcile()
    tasks.mail_question(str(pack.pk))
    tasks.mail_question(str(pack.pk))
    reconcile()

    assert sent == ["payments.mail_question"]
    (message,) = mail.outbox
    assert message.subject == "4 of your 5 headshots are ready. Please choose"
    assert "We refund $3.80 for the missing headshots." in message.body
    assert "get a refund of $19" in message.body
    assert f"/shoots/{pack.shoot_id}/" in message.body


def test_a_question_that_could_not_be_mailed_is_due_again(
    stripe: FakeStripe, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, pack = asked(stripe, person)

    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("headshots.payments.mails.send_mail", refuse)
    tasks.mail_question(str(pack.pk))

    assert Pack.objects.get(pk=pack.pk).mail_due


def test_the_refund_is_mailed_with_its_reason(stripe: FakeStripe, person: User) -> None:
    _, pack = asked(stripe, person)
    answer_incomplete(pack=pack, keep=True)
    refund = refund_missing(pack=pack)
    assert refund is not None
    send_refund(refund=refund)

    tasks.mail_refund(str(refund.pk))

    assert "fewer headshots than you ordered, so we’re refunding $3.80" in mail.outbox[0].body
