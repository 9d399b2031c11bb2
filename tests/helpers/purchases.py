"""A payment at its checkout, made of bare rows in no time, and the events that Stripe would send about it."""

import time
from datetime import timedelta
from typing import Any

from django.utils import timezone

from headshots.accounts.models import User
from headshots.payments.models import Credit, LedgerEntry, Payment
from headshots.shoots.models import Pack, Shoot
from tests.helpers.fake_stripe import FakeStripe

Body = dict[str, Any]


class Purchase:
    """Of one pack. `number` is its session's; the money has come at Stripe, and we have not heard of it."""

    def __init__(self, number: int, owner: User) -> None:
        shoot = Shoot.objects.create(owner=owner, delete_after=timezone.now() + timedelta(hours=23))
        sizes = {"width": 768, "height": 960, "total": 1, "seed": 1, "engine": "fake"}
        pack = Pack.objects.create(shoot=shoot, kind="premium", state="awaiting_payment", **sizes)
        self.stripe = FakeStripe()
        session = self.stripe._new("checkout.session", f"cs_test_{number}") | {
            "amount_subtotal": 1900,
            "currency": "usd",
            "expires_at": time.time() + 3600,
            "status": "open",
        }
        self.stripe.sessions[session["id"]] = session
        self.payment = Payment.objects.create(
            owner=owner,
            pack=pack,
            engine="fake",
            mode="test",
            amount=1900,
            currency="usd",
            session_id=session["id"],
            expires_at=timezone.now() + timedelta(hours=1),
        )
        session["metadata"] = {"payment": str(self.payment.pk)}
        self.session = str(session["id"])
        self.bought = self.stripe.pay(self.session)
        self.intent = str(self.stripe.sessions[self.session]["payment_intent"])

    def state(self) -> tuple[str, str | None, str]:
        payment = Payment.objects.select_related("pack").get(pk=self.payment.pk)
        assert payment.pack is not None
        credit = Credit.objects.filter(payment=payment).first()
        return payment.state, credit.state if credit else None, payment.pack.state

    def ledger(self) -> int:
        return sum(LedgerEntry.objects.filter(payment_id=self.payment.pk).values_list("amount", flat=True))
