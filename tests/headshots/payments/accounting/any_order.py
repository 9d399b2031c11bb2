"""Money in every order of things: people click, banks answer, webhooks come late, twice or never, workers fail, Stripe
is away, photos go. Whatever happened, in the end nobody has paid for nothing and nobody has paid twice.

Every sequence is made up by hypothesis, against the real library and a Stripe on this machine. Messages to workers are
run late or lost, as a broker may lose them.
"""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headshots.celery import app
from headshots.payments import tasks  # noqa: F401  registers what messages start
from headshots.payments.accounting.credits import refund_undelivered_credits, request_redo, requeue_pack
from headshots.payments.accounting.refunds import refund_credit, request_refund
from headshots.payments.accounting.webhooks import receive_webhook
from headshots.payments.checkout.orders import buy_credit, checkout_url, order_with_credit, order_with_money
from headshots.payments.errors import OrderRefused, StripeError
from headshots.payments.models import Credit, Payment, Refund, WebhookEvent
from headshots.payments.reconciliation import reconcile, replay_events
from headshots.shoots.lifecycle import advance, begin_purge
from headshots.shoots.models import Headshot, Pack, Shoot
from headshots.shoots.packs.orders import answer_incomplete
from tests.headshots.payments.accounting.reached import situations
from tests.helpers.factories import make_user
from tests.helpers.fake_stripe import Body, FakeStripe, Refused, signed
from tests.helpers.money import HOME, bare_shoot, ledger_sum, order_of

# The server of the run: a machine is made anew for every sequence, a server need not be.
SERVER = FakeStripe()
_STEPS = 11
_IN_WORK = (Pack.State.QUEUED, Pack.State.RENDERING)
_WORKED = (Pack.State.RENDERING, Pack.State.AWAITING_ANSWER, Pack.State.DELIVERED, Pack.State.FAILED)
_ASKED = tuple(f"awaiting_answer, {then}" for then in ("kept", "refused", "purged", "refunded"))
_AFTER = (
    *_ASKED, "delivered, redone", "delivered, disputed", "failed, again", "failed, refunded", "failed, disputed",
)  # fmt: skip
_FATES = (*_WORKED, *_AFTER, "refunded", "disputed", "purged")
_PICK = st.integers(0, 10**6)


class Money(RuleBasedStateMachine):
    """One person, two shoots, one Stripe. Single steps, and beside them the ways that most people go, as one step:
    from single steps alone, few sequences come to a pack that is paid for, fewer to what can become of it."""

    # How many sequences came to each situation.
    reached: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.rollback = transaction.atomic()
        self.rollback.__enter__()
        self.stripe = SERVER
        url = self.stripe.url
        self.stripe.__init__()  # type: ignore[misc]
        self.stripe.url = url
        self.messages: list[Callable[[], object]] = []
        self.payable: dict[str, None] = {}
        self.person = make_user()
        self.shoots = [bare_shoot(self.person), bare_shoot(self.person)]

    def teardown(self) -> None:
        try:
            self.everything_comes_to_rest()
            self.reached.update(situations())
        finally:
            transaction.set_rollback(True)
            self.rollback.__exit__(None, None, None)

    # What people do ----------------------------------------------------------------------------------------------

    @initialize(fates=st.lists(st.sampled_from(["queued", *_FATES]), max_size=2))
    def some_is_bought_already(self, fates: list[str]) -> None:
        for shoot, fate in zip(list(self.shoots), fates, strict=False):
            self._purchase(shoot)
            for pack in shoot.packs.filter(state=Pack.State.QUEUED):
                self._befall(pack, fate)

    @rule(pick=_PICK, lost=st.booleans(), late=st.booleans())
    def a_whole_purchase(self, pick: int, lost: bool, late: bool) -> None:
        """Ordered, again if the first answer is lost, paid, and the webhook comes; too late if the photos go first."""
        if lost:
            self.stripe.lost_answers = 1
            self._purchase(self.shoots[pick % 2])
        self._purchase(self.shoots[pick % 2], late=late)

    @rule(pick=_PICK, looks=st.integers(2, 3))
    def order(self, pick: int, looks: int) -> None:
        shoot = self.shoots[pick % 2]
        shoot.refresh_from_db()
        self._go_to_checkout(lambda: order_with_money(order=order_of(shoot, looks), owner=self.person))

    @rule()
    def buy(self) -> None:
        self._go_to_checkout(lambda: buy_credit(owner=self.person))

    @rule(pick=_PICK)
    def use_credit(self, pick: int) -> None:
        shoot = self.shoots[pick % 2]
        shoot.refresh_from_db()
        self._try(lambda: order_with_credit(order=order_of(shoot, 2), owner=self.person))

    @precondition(lambda self: self.payable)
    @rule(pick=_PICK, late=st.booleans(), tax=st.sampled_from([0, 361]))
    def pay(self, pick: int, late: bool, tax: int) -> None:
        session = list(self.payable)[pick % len(self.payable)]
        self._try(lambda: self.stripe.pay_later(session) if late else self.stripe.pay(session, tax=tax))

    @rule(pick=_PICK)
    def ask_for_money_back(self, pick: int) -> None:
        for credit in self._one_of(Credit.objects.filter(owner=self.person), pick):
            refund_credit(credit=credit, reason=Refund.Reason.PERSON)

    @rule(pick=_PICK)
    def ask_for_a_redo(self, pick: int) -> None:
        for pack in self._one_of(Pack.objects.filter(state=Pack.State.DELIVERED), pick):
            request_redo(pack=pack)

    # What happens at Stripe and at banks ---------------------------------------------------------------------------

    @rule(pick=_PICK, good=st.booleans())
    def a_bank_answers(self, pick: int, good: bool) -> None:
        waiting = [
            each["id"]
            for each in self.stripe.sessions.values()
            if each["status"] == "complete" and each["payment_status"] == "unpaid" and "answered" not in each
        ]
        if waiting:
            session = waiting[pick % len(waiting)]
            self.stripe.bank_answers(session, good=good)
            self.stripe.sessions[session]["answered"] = True

    @precondition(lambda self: self.payable)
    @rule(pick=_PICK)
    def a_checkout_runs_out(self, pick: int) -> None:
        session = list(self.payable)[pick % len(self.payable)]
        self._try(lambda: self.stripe.expire(session))

    @precondition(lambda self: self.stripe.charges)
    @rule(pick=_PICK, amount=st.sampled_from([None, 100, 900]))
    def somebody_refunds_at_stripe(self, pick: int, amount: int | None) -> None:
        charge = list(self.stripe.charges)[pick % len(self.stripe.charges)]
        self._try(lambda: self.stripe.refund(charge, amount))

    @precondition(lambda self: any(each["status"] == "succeeded" for each in self.stripe.refunds.values()))
    @rule(pick=_PICK)
    def a_refund_fails(self, pick: int) -> None:
        done = [each["id"] for each in self.stripe.refunds.values() if each["status"] == "succeeded"]
        self.stripe.fail_refund(done[pick % len(done)])

    @precondition(lambda self: self.stripe.charges)
    @rule(pick=_PICK, inquiry=st.booleans())
    def a_bank_disputes(self, pick: int, inquiry: bool) -> None:
        self._dispute(list(self.stripe.charges)[pick % len(self.stripe.charges)], inquiry=inquiry)

    @precondition(lambda self: any("closed" not in each for each in self.stripe.disputes.values()))
    @rule(pick=_PICK, won=st.booleans())
    def a_dispute_ends(self, pick: int, won: bool) -> None:
        still_open = [each["id"] for each in self.stripe.disputes.values() if "closed" not in each]
        dispute = still_open[pick % len(still_open)]
        self.stripe.close_dispute(dispute, won=won)
        self.stripe.disputes[dispute]["closed"] = True

    @rule(requests=st.integers(1, 2), done=st.booleans())
    def stripe_is_away(self, requests: int, done: bool) -> None:
        if done:
            self.stripe.lost_answers = requests
        else:
            self.stripe.away = requests

    # What reaches us -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.stripe.events)
    @rule(picks=st.lists(_PICK, min_size=1, max_size=4))
    def webhooks_come(self, picks: list[int]) -> None:
        """Any of them, in any order, for the first time or again; those that are never picked are lost."""
        for pick in picks:
            self._deliver(self.stripe.events[pick % len(self.stripe.events)])

    @precondition(lambda self: self.stripe.events)
    @rule()
    def the_latest_webhooks_come(self) -> None:
        for event in self.stripe.events[-3:]:
            self._deliver(event)

    @rule(picks=st.lists(st.booleans(), max_size=6))
    def messages_come(self, picks: list[bool]) -> None:
        """The next ones, each run or lost."""
        self._collect()
        for is_run in picks:
            if self.messages:
                message = self.messages.pop(0)
                if is_run:
                    message()
                    self._collect()

    @rule()
    def beat_comes_by(self) -> None:
        reconcile()

    @rule(days=st.sampled_from([1, 15]))
    def days_go_by(self, days: int) -> None:
        # Their order stays: a sequence that is run again must find the same rows at the same places.
        Payment.objects.update(created_at=F("created_at") - timedelta(days=days), last_stripe_call_at=None)
        Refund.objects.update(created_at=F("created_at") - timedelta(days=days), last_stripe_call_at=None)
        Credit.objects.update(open_since=timezone.now() - timedelta(days=days))

    # What workers and staff do -------------------------------------------------------------------------------------

    @rule(pick=_PICK, fate=st.sampled_from(_FATES))
    def something_becomes_of_a_pack_in_work(self, pick: int, fate: str) -> None:
        for pack in self._one_of(Pack.objects.filter(state__in=_IN_WORK), pick):
            self._befall(pack, fate)

    @rule(pick=_PICK, keep=st.booleans())
    def somebody_answers(self, pick: int, keep: bool) -> None:
        for pack in self._one_of(Pack.objects.filter(kind=Pack.Kind.PREMIUM), pick):
            answer_incomplete(pack=pack, keep=keep)

    @rule(pick=_PICK)
    def photos_go(self, pick: int) -> None:
        self._purge(self.shoots[pick % 2])

    @rule(pick=_PICK, amount=st.sampled_from([None, 500, 1900]))
    def staff_give_money_back(self, pick: int, amount: int | None) -> None:
        for payment in self._one_of(Payment.objects.all(), pick):
            request_refund(payment=payment, reason=Refund.Reason.GOODWILL, amount=amount)

    @rule(pick=_PICK)
    def staff_queue_again(self, pick: int) -> None:
        for pack in self._one_of(Pack.objects.filter(state=Pack.State.FAILED), pick):
            requeue_pack(pack=pack)

    @rule()
    def the_account_is_closed(self) -> None:
        refund_undelivered_credits(owner=self.person)

    # What must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def at_most_one_checkout_of_a_shoot_can_be_paid(self) -> None:
        can_be_paid = [id_ for id_ in self.payable if self.stripe.sessions[id_]["status"] == "open"]
        shoots = Payment.objects.filter(session_id__in=can_be_paid, pack__isnull=False).values_list("pack__shoot")
        assert len(shoots) == len(set(shoots))

    @invariant()
    def nothing_is_made_without_a_right_to_it(self) -> None:
        made = Pack.objects.filter(kind=Pack.Kind.PREMIUM, state__in=Pack.IN_WORK)
        assert not made.exclude(credit__state=Credit.State.USED).exists()

    def everything_comes_to_rest(self) -> None:
        """Stripe answers again, beat comes by until nothing is left to do; then the books are held against Stripe's."""
        self.stripe.away = self.stripe.lost_answers = 0
        for _ in range(2):
            Payment.objects.update(created_at=timezone.now() - timedelta(hours=1), last_stripe_call_at=None)
            Refund.objects.update(created_at=timezone.now() - timedelta(hours=1), last_stripe_call_at=None)
            reconcile()
            replay_events()
        self.nothing_is_made_without_a_right_to_it()
        assert ledger_sum() == self.stripe.balance
        self._each_pack_was_paid_once()
        self._all_money_bought_something()
        self._what_is_missing_was_refunded_once()
        self._nothing_was_asked_or_known_twice()

    def _each_pack_was_paid_once(self) -> None:
        paid_for: dict[object, int] = {}
        for charge in self.stripe.charges.values():
            payment = Payment.objects.get(pk=charge["metadata"]["payment"])
            paid_for[payment.pack_id or payment.pk] = paid_for.get(payment.pack_id or payment.pk, 0) + 1
        assert set(paid_for.values()) <= {1}

    def _all_money_bought_something(self) -> None:
        for intent, charge in self.stripe.charges.items():
            payment = Payment.objects.get(payment_intent=intent)
            credit = Credit.objects.select_related("pack").get(payment=payment)
            assert payment.paid_at is not None
            if charge["refunded"]:
                assert credit.state == Credit.State.REFUNDED or payment.dispute_state
            elif charge["disputed"] or self._is_inquired(intent):
                assert payment.state in {Payment.State.DISPUTED, Payment.State.LOST}
                assert credit.state != Credit.State.OPEN
            elif credit.state == Credit.State.USED:
                assert credit.pack is not None
                assert credit.pack.delivered_at is not None or credit.pack.state in Pack.IN_WORK
            else:
                assert credit.state == Credit.State.OPEN

    def _what_is_missing_was_refunded_once(self) -> None:
        """One headshot of two: half of the payment, once, unless other refunds or a bank were faster."""
        for payment in Payment.objects.filter(credit__pack__delivered_at__isnull=False, credit__pack__missing=1):
            refunds = payment.refunds.filter(reason=Refund.Reason.MISSING)
            assert refunds.count() <= 1
            if not payment.dispute_state:
                assert not payment.credit.pack.refund_due
                half = -(-payment.amount_paid // 2)
                others = sum(payment.refunds.exclude(reason=Refund.Reason.MISSING).values_list("amount", flat=True))
                assert sum(refunds.values_list("amount", flat=True)) == half or others > payment.amount_paid - half

    def _nothing_was_asked_or_known_twice(self) -> None:
        """Stripe has one session for a payment and one refund for a refund; we have one row for an event."""
        sessions = [each["metadata"]["payment"] for each in self.stripe.sessions.values()]
        refunds = [each["metadata"]["refund"] for each in self.stripe.refunds.values() if each["metadata"]]
        for ids in (sessions, refunds):
            assert len(ids) == len(set(ids))
        sent = sorted(event["id"] for event in self.stripe.events)
        assert sorted(WebhookEvent.objects.values_list("event_id", flat=True)) == sent

    def _is_inquired(self, intent: str) -> bool:
        about = [each for each in self.stripe.disputes.values() if each["payment_intent"] == intent]
        return any("closed" not in each for each in about)

    # ---------------------------------------------------------------------------------------------------------------

    def _go_to_checkout(self, place: Callable[[], Payment], then: Callable[[str], object] = bool) -> None:
        def go() -> None:
            payment = place()
            if checkout_url(payment=payment, urls=HOME):
                assert payment.session_id is not None
                self.payable[payment.session_id] = None
                then(payment.session_id)

        self._try(go)

    def _purchase(self, shoot: Shoot, *, late: bool = False) -> None:
        def pay(session: str) -> None:
            if late:
                self._purge(shoot)
            self._deliver(self.stripe.pay(session))

        shoot.refresh_from_db()
        self._go_to_checkout(lambda: order_with_money(order=order_of(shoot, 2), owner=self.person), pay)

    def _befall(self, pack: Pack, fate: str) -> None:
        """A pack in work comes to this."""
        first, *then = fate.split(", ")
        payment = Payment.objects.filter(pack=pack).exclude(paid_at=None).first()
        if first in _WORKED:
            advance(pack, Pack.State.RENDERING)
            if first == Pack.State.AWAITING_ANSWER:
                pack.headshots.filter(index=0).update(state=Headshot.State.DONE)
            advance(pack, first)
        for what in then or [first]:
            if what == "redone":
                request_redo(pack=pack)
            elif what == "again":
                requeue_pack(pack=pack)
            elif what in {"kept", "refused"}:
                answer_incomplete(pack=pack, keep=what == "kept")
            elif what == "purged":
                self._purge(pack.shoot)
            elif payment is not None and what == "refunded":
                request_refund(payment=payment, reason=Refund.Reason.GOODWILL)
            elif payment is not None and what == "disputed":
                self._dispute(payment.payment_intent, inquiry=False)
                self.the_latest_webhooks_come()

    def _purge(self, shoot: Shoot) -> None:
        begin_purge(shoot)
        self.shoots[self.shoots.index(shoot)] = bare_shoot(self.person)

    def _dispute(self, charge: str, *, inquiry: bool) -> None:
        earlier = any(each["payment_intent"] == charge for each in self.stripe.disputes.values())
        # "Disputes and chargebacks aren't possible on credit card charges that are fully refunded." (Stripe's docs)
        if not earlier and not self.stripe.charges[charge]["refunded"]:
            self.stripe.dispute(charge, inquiry=inquiry)

    def _deliver(self, event: Body) -> None:
        payload, signature = signed(event)
        receive_webhook(payload=payload, signature=signature)

    def _try(self, act: Callable[[], object]) -> None:
        """What a page or Stripe refuses is refused. No transaction around it, as there is none around a page: an order
        whose checkout got no answer stays, and is asked for again."""
        with contextlib.suppress(Refused, OrderRefused, StripeError):
            act()

    def _one_of(self, rows: Any, pick: int) -> Iterator[Any]:
        count = rows.count()
        if count:
            yield rows.order_by("created_at")[pick % count]

    def _collect(self) -> None:
        """Messages that were sent with a commit. Beat finds what a lost one would have started."""
        for _, send, _ in connection.run_on_commit:
            if isinstance(send, functools.partial) and str(send.args[:1]).startswith("('payments."):
                self.messages.append(functools.partial(app.tasks[send.args[0]], *send.keywords["args"]))
        connection.run_on_commit = []


def run(sequences: int, phases: Sequence[Phase] = tuple(Phase)) -> None:
    run_state_machine_as_test(
        Money,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=_STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.normal,
            database=None,
            phases=phases,
            report_multiple_bugs=False,
        ),
    )
