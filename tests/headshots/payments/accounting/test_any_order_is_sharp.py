"""The made-up orders of events find a fault that is put in: each of these, alone, would cost somebody money."""

import dataclasses
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import stripe
from hypothesis import Phase

from headshots.payments.accounting import credits as credit_services
from headshots.payments.accounting import payment_state, webhooks
from headshots.payments.models import Credit, WebhookEvent
from headshots.payments.stripe import client
from headshots.payments.stripe.objects import CheckoutSession, StripeEvent
from tests.headshots.payments.accounting.any_order import Money, run
from tests.headshots.payments.accounting.reached import SITUATIONS
from tests.headshots.payments.accounting.test_any_order import any_order  # noqa: F401  the fixture

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine", "any_order")]

# A fault has to show in a part of the two thousand sequences of the long run.
_SEQUENCES = 500
# Of the sequences, for each situation.
_SHARE = 0.01


def events_are_not_known_by_their_id(patch: pytest.MonkeyPatch) -> None:
    store = webhooks._store

    def store_anew(event: StripeEvent, fetched: bool) -> WebhookEvent:
        return store(dataclasses.replace(event, id=f"{event.id}{uuid.uuid4().hex}"), fetched)

    patch.setattr(webhooks, "_store", store_anew)


def a_pack_that_failed_keeps_its_credit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(credit_services, "reopen_credit", lambda credit: None)


def no_idempotency_key(patch: pytest.MonkeyPatch) -> None:
    request = stripe.RequestsClient.request

    def with_another_key(
        self: stripe.RequestsClient, method: str, url: str, headers: Mapping[str, str], *rest: Any, **more: Any
    ) -> object:
        return request(self, method, url, {**headers, "Idempotency-Key": uuid.uuid4().hex}, *rest, **more)

    patch.setattr(stripe.RequestsClient, "request", with_another_key)


def a_refund_leaves_the_right(patch: pytest.MonkeyPatch) -> None:
    revoke = payment_state._revoke_credit

    def revoke_disputed(credit: Credit, to: str) -> None:
        if to != Credit.State.REFUNDED:
            revoke(credit, to)

    patch.setattr(payment_state, "_revoke_credit", revoke_disputed)


def the_other_checkout_stays_open(patch: pytest.MonkeyPatch) -> None:
    def say_that_it_is_closed(session_id: str) -> CheckoutSession:
        return CheckoutSession(session_id, "", "expired", "unpaid", "", None, None, "")

    patch.setattr(client, "expire_checkout_session", say_that_it_is_closed)


@pytest.mark.parametrize(
    "fault",
    [
        events_are_not_known_by_their_id,
        a_pack_that_failed_keeps_its_credit,
        no_idempotency_key,
        a_refund_leaves_the_right,
        the_other_checkout_stays_open,
    ],
    ids=lambda fault: fault.__name__,
)
def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None]) -> None:
    fault(monkeypatch)

    with pytest.raises(AssertionError):
        # Stops at the first failure. A rare one needs more sequences than the others.
        run(4 * _SEQUENCES, phases=[Phase.generate])


def test_the_sequences_come_to_everything_that_can_become_of_a_pack() -> None:
    Money.reached.clear()

    run(_SEQUENCES)

    reached = {words: Money.reached[words] for words in SITUATIONS}
    print(reached)
    assert min(reached.values()) >= _SEQUENCES * _SHARE, reached
