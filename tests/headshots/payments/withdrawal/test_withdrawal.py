"""Withdrawing from a contract: what happens to pack, money and mail, for customers and for guests with a link."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import time_machine
from django.conf import LazySettings
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from headshots.accounts.models import User
from headshots.data_rights.export import collect_contents
from headshots.payments import tasks
from headshots.payments.accounting.refunds import request_refund, send_refund
from headshots.payments.checkout.early_start import record_request_to_begin
from headshots.payments.models import Credit, Payment, Refund, Withdrawal
from headshots.payments.reconciliation import reconcile
from headshots.payments.withdrawal.services import withdraw, withdrawal_deadline
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Consent, Headshot, Pack
from tests.helpers.factories import make_user, seed_styles
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import bare_shoot, ledger_sum, paid, state

pytestmark = pytest.mark.django_db

Outcome = Withdrawal.Outcome


@pytest.fixture(autouse=True)
def tasks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link in an email is sent at once: in these tests, no transaction ends."""

    def send(name: str, *arguments: str) -> None:
        tasks.mail_withdrawal_link(*arguments)

    monkeypatch.setattr("headshots.payments.withdrawal.views.send_on_commit", send)


@pytest.fixture(autouse=True)
def small_packs(settings: LazySettings, fake_engine: None, stripe: FakeStripe) -> None:
    settings.HEADSHOTS_PREMIUM_COUNT = 5
    settings.HEADSHOTS_SITE_URL = "https://headshots.example.org"
    seed_styles()
    cache.clear()


def begun(payment: Payment, done: int) -> Pack:
    """The pack of a payment, with so many finished headshots."""
    assert payment.pack is not None
    advance(payment.pack, Pack.State.RENDERING)
    Headshot.objects.filter(pack=payment.pack, index__lt=done).update(state="done", done_at=timezone.now())
    return payment.pack


def delivered(payment: Payment, *, asked_to_begin: bool = True) -> Payment:
    pack = begun(payment, done=5)
    if asked_to_begin:
        record_request_to_begin(pack=pack, version="2026-12-01")
    advance(pack, Pack.State.DELIVERED)
    return payment


def withdrawn(payment: Payment) -> tuple[str, list[int]]:
    """What came of a withdrawal, and the amounts of all refunds."""
    withdrawal = withdraw(payment=payment)
    assert withdrawal is not None
    for refund in payment.refunds.filter(state="requested"):
        send_refund(refund=refund)
    return withdrawal.outcome, list(Refund.objects.filter(payment=payment).values_list("amount", flat=True))


def test_an_unused_pack_and_one_without_a_finished_headshot_are_refunded_in_full(
    stripe: FakeStripe, person: User
) -> None:
    queued = paid(stripe, bare_shoot(person))
    rendering = paid(stripe, bare_shoot(person))
    begun(rendering, done=0)

    assert withdrawn(queued) == withdrawn(rendering) == (Outcome.REFUNDED, [1900])
    assert {state(queued), state(rendering)} == {("refunded", "refunded", "canceled")}
    assert ledger_sum() == 0
    assert {pack.state for pack in Pack.objects.filter(kind="premium")} == {"canceled"}


def test_a_pack_in_progress_is_stopped_and_the_rest_is_refunded(stripe: FakeStripe, person: User) -> None:
    payment = paid(stripe, bare_shoot(person))
    pack = begun(payment, done=2)
    record_request_to_begin(pack=pack, version="2026-12-01")

    assert withdrawn(payment) == (Outcome.PART_REFUNDED, [1140])
    pack.refresh_from_db()
    assert (pack.state, pack.missing) == ("delivered", 3)
    assert ledger_sum() == 760


def test_a_pack_in_progress_that_nobody_asked_to_begin_is_refunded_in_full(stripe: FakeStripe, person: User) -> None:
    payment = paid(stripe, bare_shoot(person))
    begun(payment, done=2)

    assert withdrawn(payment) == (Outcome.REFUNDED, [1900])
    assert ledger_sum() == 0


def test_a_pack_that_awaits_an_answer_is_canceled(stripe: FakeStripe, person: User) -> None:
    payment = paid(stripe, bare_shoot(person))
    pack = begun(payment, done=4)
    Headshot.objects.filter(pack=pack).exclude(state="done").update(state="rejected")
    advance(pack, Pack.State.AWAITING_ANSWER)

    assert withdrawn(payment) == (Outcome.REFUNDED, [1900])


def test_a_pack_that_has_just_failed_is_refunded_in_full(stripe: FakeStripe, person: User) -> None:
    payment = paid(stripe, bare_shoot(person))
    advance(begun(payment, done=0), Pack.State.FAILED, reason=Pack.Reason.ENGINE_FAILED)
    assert Credit.objects.get().state == "used"

    assert withdrawn(payment) == (Outcome.REFUNDED, [1900])


def test_after_delivery_the_right_has_ended_if_the_customer_asked_to_begin(stripe: FakeStripe, person: User) -> None:
    agreed = delivered(paid(stripe, bare_shoot(person)))
    never_asked = delivered(paid(stripe, bare_shoot(person)), asked_to_begin=False)

    assert withdrawn(agreed) == (Outcome.DELIVERED, [])
    assert withdrawn(never_asked) == (Outcome.REFUNDED, [1900])


def test_a_statement_counts_from_its_own_time_also_if_it_is_confirmed_after_the_delivery(
    stripe: FakeStripe, person: User
) -> None:
    stated_at = timezone.now() - timedelta(hours=2)
    amounts = []
    for done_before in (0, 2):
        payment = delivered(paid(stripe, bare_shoot(person)))
        Headshot.objects.filter(pack=payment.pack, index__lt=done_before).update(done_at=stated_at)
        withdrawal = withdraw(payment=payment, at=stated_at)
        assert withdrawal is not None
        amounts.append((withdrawal.outcome, payment.refunds.get().amount))

    assert amounts == [(Outcome.REFUNDED, 1900), (Outcome.PART_REFUNDED, 1140)]


def test_the_period_ends_fourteen_days_after_the_day_of_the_order(stripe: FakeStripe, person: User) -> None:
    payment = delivered(paid(stripe, bare_shoot(person)), asked_to_begin=False)
    Payment.objects.filter(pk=payment.pk).update(paid_at=datetime(2026, 6, 1, 9, tzinfo=UTC))
    payment.refresh_from_db()

    assert withdrawal_deadline(payment) == datetime(2026, 6, 16, 12, tzinfo=UTC)
    with time_machine.travel(datetime(2026, 6, 16, 12, 1, tzinfo=UTC), tick=False):
        assert withdrawn(payment) == (Outcome.LATE, [])


def test_a_second_withdrawal_changes_nothing(stripe: FakeStripe, person: User) -> None:
    payment = paid(stripe, bare_shoot(person))

    first, second = withdraw(payment=payment), withdraw(payment=payment)
    assert first is not None
    for _ in range(2):
        tasks.mail_withdrawal(str(first.pk))

    assert first == second
    assert Refund.objects.count() == 1
    assert [letter.subject for letter in mail.outbox] == ["We’ve received your withdrawal"]


def test_without_anything_left_to_refund_the_statement_is_recorded(stripe: FakeStripe, person: User) -> None:
    payment = delivered(paid(stripe, bare_shoot(person)))
    request_refund(payment=payment, reason=Refund.Reason.GOODWILL)

    assert withdrawn(payment)[0] == Outcome.NOTHING_LEFT


def test_an_unpaid_order_is_no_contract(stripe: FakeStripe, person: User) -> None:
    payment = paid(stripe, bare_shoot(person))
    Payment.objects.filter(pk=payment.pk).update(paid_at=None)
    payment.refresh_from_db()

    assert withdraw(payment=payment) is None
    with pytest.raises(ValueError, match="no contract"):
        withdrawal_deadline(payment)


def test_a_customer_withdraws_on_their_own_page(
    stripe: FakeStripe, person: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr("headshots.payments.reconciliation.send_on_commit", lambda *task: sent.append(task))
    payment = paid(stripe, bare_shoot(person))
    assert payment.pack is not None
    client.force_login(person)

    assert f"/payments/{payment.pk}/withdraw/" in client.get("/withdraw/").content.decode()
    page = client.get(f"/payments/{payment.pk}/withdraw/").content.decode()
    assert "Confirm withdrawal" in page
    assert not Withdrawal.objects.exists()
    answer = client.post(f"/payments/{payment.pk}/withdraw/").content.decode()

    assert "received your withdrawal" in answer
    assert "refunding your payment" in answer
    reconcile()
    for pk in [row for task, row in sent if task == "payments.mail_withdrawal"]:
        tasks.mail_withdrawal(pk)
    letter = next(letter for letter in mail.outbox if "received your withdrawal" in letter.subject)
    assert letter.to == [person.email]
    assert str(payment.pk) in letter.body
    assert "Withdrawn:" in letter.body
    assert "Your withdrawal" in client.get(f"/payments/{payment.pk}/").content.decode()
    Consent.objects.create(shoot=payment.pack.shoot, consent_version="2026-11-30", is_me_version="2026-11-21")
    (row,) = collect_contents(person).account["payments"]
    assert row["withdrawal"] == "refunded"
    stranger = Client()
    stranger.force_login(make_user())
    assert stranger.get(f"/payments/{payment.pk}/withdraw/").status_code == 404


def test_a_guest_confirms_by_the_link_in_an_email(stripe: FakeStripe, person: User) -> None:
    payment = paid(stripe, bare_shoot(person))
    guest = Client()
    mail.outbox.clear()
    stated_at = timezone.now() - timedelta(days=6)

    with time_machine.travel(stated_at, tick=False):
        sent = guest.post("/withdraw/", {"order_number": str(payment.pk), "email": person.email.upper()})
    (letter,) = mail.outbox
    link = re.search(r"https://headshots\.example\.org(/withdraw/\S+)", letter.body)
    assert link is not None
    assert person.email not in link[1]
    assert "Confirm withdrawal" in guest.get(link[1]).content.decode()
    assert not Withdrawal.objects.exists()
    assert "refunding your payment" in guest.post(link[1]).content.decode()

    withdrawal = Withdrawal.objects.get()
    assert (withdrawal.outcome, withdrawal.at) == ("refunded", stated_at)
    # The same answer for orders that are not theirs, and for those that do not exist.
    mail.outbox.clear()
    for number, email in ((payment.pk, "someone@example.org"), (uuid4(), person.email)):
        other = guest.post("/withdraw/", {"order_number": str(number), "email": email})
        assert (other.status_code, len(other.content)) == (sent.status_code, len(sent.content))
    assert mail.outbox == []


def test_a_forged_or_old_link_is_not_found_and_nonsense_gets_a_message(
    stripe: FakeStripe, person: User, client: Client
) -> None:
    payment = paid(stripe, bare_shoot(person))
    client.post("/withdraw/", {"order_number": str(payment.pk), "email": person.email})
    link = re.search(r"/withdraw/\S+", mail.outbox[-1].body)
    assert link is not None

    assert client.get(link[0][:-2] + "x/").status_code == 404
    with time_machine.travel(timezone.now() + timedelta(days=8)):
        assert client.post(link[0]).status_code == 404
    assert not Withdrawal.objects.exists()
    refused = client.post("/withdraw/", {"order_number": "42", "email": "nobody"})
    assert refused.status_code == 422
    assert "Copy the order number" in refused.content.decode()


def test_guesses_are_limited(client: Client) -> None:
    answers = [
        client.post("/withdraw/", {"order_number": str(uuid4()), "email": "a@example.org"}).status_code
        for _ in range(11)
    ]

    assert answers == [200] * 10 + [429]


def test_every_page_leads_to_the_function_and_the_order_s_email_too(
    stripe: FakeStripe, person: User, client: Client
) -> None:
    paid(stripe, bare_shoot(person))

    assert 'href="/withdraw/"' in client.get("/").content.decode()
    assert Credit.objects.get().state == "used"
    page = client.get("/withdraw/").content.decode()
    assert 'id="right"' in page
    assert "Model withdrawal form" in page
