"""Packs of an engine of which the gate accepts this much: what is delivered, refunded and redone adds up, also in the
ledger and at the payment service."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from fractions import Fraction
from itertools import cycle
from math import ceil

import pytest
from django.conf import LazySettings
from django.db.models import Sum
from django.utils import timezone

from headshots import engine
from headshots.engine import PlannedShot, RenderResult
from headshots.payments.accounting.credits import grant_credit, open_credits, request_redo
from headshots.payments.checkout.orders import checkout_url, order_with_credit, order_with_money
from headshots.payments.models import Credit, LedgerEntry, LocalStripeObject, Payment, Refund
from headshots.payments.reconciliation import reconcile
from headshots.payments.stripe.local import pay_session
from headshots.retention.due import purge_due
from headshots.shoots.models import Event, Headshot, Pack, Shoot
from headshots.shoots.packs import rendering
from headshots.shoots.packs.gating import max_refusals
from headshots.shoots.packs.orders import answer_incomplete
from headshots.vault.models import Blob
from pipeline.files.finish import HeadshotFiles
from tests.helpers.factories import make_user, seed_styles
from tests.helpers.money import HOME, bare_shoot, order_of, session_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

COUNT, PRICE = 5, 1900
ACCEPTANCES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
PACKS = 3
# Of five headshots, with which a pack is offered, and how many refused pictures it may have.
NEEDED, BUDGET = 3, 3


@pytest.fixture(autouse=True)
def small_packs(settings: LazySettings, at_the_test_checkout: None) -> None:
    settings.HEADSHOTS_PREMIUM_COUNT = COUNT
    # So that an acceptance below is often too little for a pack.
    settings.HEADSHOTS_GATE_ACCEPTANCE, settings.HEADSHOTS_MIN_PACK_SHARE = 0.9, NEEDED / COUNT
    assert max_refusals(COUNT, 0.9) == BUDGET
    seed_styles()


class Market:
    """One customer who buys, is granted and redoes packs, each made of a shoot of its own."""

    def __init__(self, acceptance: float, answers: Iterator[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.person, self.acceptance, self.answers = make_user(), acceptance, answers
        self.chance = random.Random(f"seed {acceptance}")
        monkeypatch.setattr(rendering, "get_prepared_subject", lambda *_: None)
        monkeypatch.setattr(engine, "render", self.render)
        monkeypatch.setattr(engine, "capacity", lambda size: COUNT)

    def render(
        self, subject: None, batches: Iterable[Sequence[PlannedShot]], *_: object, versions: bool
    ) -> Iterator[RenderResult]:
        """Pictures of which the gate accepts a share, planted here."""
        for batch in batches:
            for shot in batch:
                if self.chance.random() < self.acceptance:
                    yield RenderResult(shot.index, True, 0.9, [], HeadshotFiles(b"a picture", None, None), 0.9)
                else:
                    yield RenderResult(shot.index, False, None, ["not_alike"])

    def make(self, source: str) -> Pack:
        """Order a pack, render it, and let the customer answer, or not, if it is incomplete."""
        shoot = bare_shoot(self.person)
        if source == "payment":
            payment = order_with_money(order=order_of(shoot), owner=self.person)
            checkout_url(payment=payment, urls=HOME)
            pay_session(session_of(payment))
            pack = Pack.objects.get(payment=payment)
        else:
            ordered = order_with_credit(order=order_of(shoot), owner=self.person)
            assert ordered is not None
            pack = ordered
        rendering.render_pack(pack=Pack.objects.select_related("shoot").get(pk=pack.pk))
        pack.refresh_from_db()
        if pack.state == Pack.State.AWAITING_ANSWER:
            self.answer(pack)
        pack.refresh_from_db()
        return pack

    def answer(self, pack: Pack) -> None:
        how = next(self.answers)
        if how == "nothing":
            Shoot.objects.filter(pk=pack.shoot_id).update(delete_after=timezone.now())
            purge_due()
        elif how != "cancel":
            assert answer_incomplete(pack=pack, keep=True)
        # The second answer, and the first one if there was none.
        moved = answer_incomplete(pack=pack, keep=False)
        assert moved == (how == "cancel")


def test_what_is_delivered_refunded_and_redone_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: Counter[str] = Counter()
    answers = cycle(["cancel", "nothing", "keep, then cancel", "keep"])
    for acceptance in ACCEPTANCES:
        market = Market(acceptance, answers, monkeypatch)
        for turn in range(PACKS):
            if turn == PACKS // 2:
                grant_credit(owner=market.person, reason=Credit.GrantReason.GOODWILL)
            # After a pack that failed or was canceled, again from other photos, without another payment.
            is_open = open_credits(market.person).exists()
            made = market.make("credit" if is_open else "payment")
            reconcile()
            if market.chance.random() < 0.5:
                request_redo(pack=made)
            reached[_story(made)] += 1
    settle()

    expected = 0
    for pack in Pack.objects.filter(kind=Pack.Kind.PREMIUM):
        _has_what_its_state_says(pack)
        credit = Credit.objects.filter(pack=pack).first()
        if credit and credit.payment and pack.delivered_at:
            expected += PRICE - ceil(Fraction(PRICE * pack.missing, COUNT))
    assert _ledger() == expected == _taken_at_the_payment_service()
    assert sum(paid - back for paid, back in Payment.objects.values_list("amount_paid", "amount_refunded")) == expected
    _each_credit_became_something()
    assert reached.keys() >= {"delivered", "failed", "canceled", "person keeps", "system keeps"}, reached


def _story(pack: Pack) -> str:
    if not pack.missing or not pack.delivered_at:
        return str(pack.ended_as)
    return Event.objects.get(pack_id=pack.pk, name="pack.delivered").actor + " keeps"


def settle() -> None:
    """No message came through: beat does it all. Credits that are left over are refunded after their time."""
    for days in (0, 20):
        Credit.objects.update(open_since=timezone.now() - timedelta(days=days))
        reconcile()
        Refund.objects.update(created_at=timezone.now() - timedelta(hours=1), last_stripe_call_at=None)
        reconcile()


def _has_what_its_state_says(pack: Pack) -> None:
    done = pack.headshots.filter(state=Headshot.State.DONE).count()
    files = Blob.objects.filter(kind="headshot", key_id=pack.pk).count()
    refused = sum(pack.gate_counts.exclude(outcome="accepted").values_list("count", flat=True))
    assert not pack.refund_due
    assert pack.reshoots + pack.replacements <= BUDGET
    if pack.state == Pack.State.DELIVERED:
        assert files == done == COUNT - pack.missing >= NEEDED
        assert refused == pack.reshoots + pack.replacements + pack.missing
    elif pack.state == Pack.State.FAILED:
        assert files == done < NEEDED
    else:
        assert pack.state in {Pack.State.CANCELED, Pack.State.DELETED}
        assert 0 < pack.missing <= COUNT - NEEDED
        assert pack.delivered_at is None
        assert pack.reason == Pack.Reason.INCOMPLETE


def _ledger() -> int:
    return LedgerEntry.objects.aggregate(sum=Sum("amount"))["sum"]


def _taken_at_the_payment_service() -> int:
    bodies = LocalStripeObject.objects.values_list("body", flat=True)
    paid = sum(body["amount_total"] for body in bodies if body.get("payment_status") == "paid")
    return paid - sum(body["amount"] for body in bodies if body["object"] == "refund")


def _each_credit_became_something() -> None:
    """A delivered pack, or money: for a grant or a redo, at worst it is still open."""
    for credit in Credit.objects.select_related("pack", "payment"):
        if credit.state == Credit.State.USED:
            assert credit.pack is not None
            assert credit.pack.delivered_at is not None
        else:
            assert (credit.payment is None) == (credit.state == Credit.State.OPEN)
        refunds = Counter(Refund.objects.filter(payment=credit.payment).values_list("reason", flat=True))
        assert set(refunds.values()) <= {1}
        assert Refund.objects.filter(payment__credit=credit, reason=Refund.Reason.MISSING).exists() == bool(
            credit.payment and credit.pack and credit.pack.delivered_at and credit.pack.missing
        )
