"""Models of payments: Stripe's ids, amounts, times and codes. No name, address or card is stored.

Amounts are whole numbers in the currency's smallest unit, as at Stripe: 1900 is $19.00.
"""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from headshots.shoots.models import Pack


class Payment(models.Model):
    """A purchase of one premium pack, from the click to a refund or dispute.

    A pack has at most one payment. Another attempt to pay makes another pack."""

    class State(models.TextChoices):
        OPEN = "open"
        PROCESSING = "processing"
        PAID = "paid"
        EXPIRED = "expired"
        FAILED = "failed"
        REFUNDED = "refunded"
        DISPUTED = "disputed"
        LOST = "lost"

    class Mode(models.TextChoices):
        """The payment service: Stripe in live mode, Stripe in test mode, or the local test checkout."""

        LIVE = "live"
        TEST = "test"
        LOCAL = "local"

    class Dispute(models.TextChoices):
        NONE = ""
        OPEN = "open"
        WON = "won"
        LOST = "lost"

    UNPAID = (State.OPEN, State.PROCESSING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="payments"
    )
    # Empty if the customer bought a credit without a shoot, to use with the next one.
    pack = models.OneToOneField(Pack, null=True, blank=True, on_delete=models.SET_NULL, related_name="payment")
    engine = models.CharField(max_length=16)
    mode = models.CharField(max_length=5, choices=Mode.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    amount = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    # The amount that was charged, including tax and less the discount of a promotion code.
    amount_paid = models.PositiveIntegerField(default=0)
    amount_tax = models.PositiveIntegerField(default=0)
    amount_refunded = models.PositiveIntegerField(default=0)
    session_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    session_url = models.TextField(blank=True)
    payment_intent = models.CharField(max_length=255, blank=True, db_index=True)
    dispute_id = models.CharField(max_length=255, blank=True)
    dispute_state = models.CharField(max_length=4, choices=Dispute.choices, default=Dispute.NONE, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # When the checkout closes.
    expires_at = models.DateTimeField()
    paid_at = models.DateTimeField(null=True, blank=True)
    # When Stripe was last asked about this payment.
    last_stripe_call_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "last_stripe_call_at"])]
        constraints = [
            # Two clicks on the pricing page must open only one checkout.
            models.UniqueConstraint(
                fields=["owner"],
                condition=models.Q(pack=None, state="open"),
                name="one_open_purchase_without_a_pack",
            )
        ]

    def __str__(self) -> str:
        return str(self.id)


class Credit(models.Model):
    """A right to one premium pack."""

    class State(models.TextChoices):
        OPEN = "open"
        USED = "used"
        REFUNDED = "refunded"
        REVOKED = "revoked"

    class Source(models.TextChoices):
        PAYMENT = "payment"
        GRANT = "grant"
        REDO = "redo"

    class GrantReason(models.TextChoices):
        """The reason why staff granted a credit, for bookkeeping."""

        GOODWILL = "goodwill", "Goodwill"
        SUPPORT = "support", "Support"
        TEST = "test", "Product trial"
        PRESS = "press", "Press"

    class Mail(models.TextChoices):
        """The email about a credit that is still to be sent."""

        NONE = ""
        AVAILABLE = "available"
        PURCHASED = "purchased"
        ORDERED = "ordered"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="credits"
    )
    source = models.CharField(max_length=7, choices=Source.choices)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    payment = models.OneToOneField(Payment, null=True, blank=True, on_delete=models.PROTECT, related_name="credit")
    # The pack that the credit is used for.
    pack = models.OneToOneField(Pack, null=True, blank=True, on_delete=models.SET_NULL, related_name="credit")
    # The delivered pack that this credit redoes for free.
    redo_of = models.OneToOneField(Pack, null=True, blank=True, on_delete=models.SET_NULL, related_name="redo")
    # A `GrantReason` if staff granted the credit; empty for any other source.
    reason = models.CharField(max_length=32, blank=True)
    # The reason why the last pack of this credit ended without headshots, for the email.
    return_reason = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    open_since = models.DateTimeField(default=timezone.now)
    pending_mail = models.CharField(max_length=9, choices=Mail.choices, default=Mail.NONE, blank=True)

    class Meta:
        ordering = ["open_since"]
        indexes = [models.Index(fields=["state", "open_since"]), models.Index(fields=["owner", "state"])]

    def __str__(self) -> str:
        return str(self.id)


class Refund(models.Model):
    """A refund of a payment, in full or in part.

    The id is part of the idempotency key at Stripe, so a repeated request makes no second refund."""

    class State(models.TextChoices):
        REQUESTED = "requested"
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    class Reason(models.TextChoices):
        PERSON = "person", "Requested by the customer"
        UNUSED = "unused", "Paid but not used"
        ACCOUNT_DELETED = "account_deleted", "Account deleted"
        QUALITY = "quality", "Quality not as promised"
        DUPLICATE = "duplicate", "Duplicate payment"
        FRAUDULENT = "fraudulent", "Fraudulent payment"
        GOODWILL = "goodwill", "Goodwill"
        MISSING = "missing", "Headshots missing"
        WITHDRAWAL = "withdrawal", "Withdrawal from the contract"
        STRIPE = "stripe", "Created at Stripe"

    # The states of a refund that Stripe has accepted.
    ACCEPTED_STATES = (State.PENDING, State.SUCCEEDED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    amount = models.PositiveIntegerField()
    reason = models.CharField(max_length=16, choices=Reason.choices)
    state = models.CharField(max_length=9, choices=State.choices, default=State.REQUESTED)
    stripe_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_stripe_call_at = models.DateTimeField(null=True, blank=True)
    # An email is due when Stripe has accepted the refund, and again if the refund fails after that email.
    mail_due = models.BooleanField(default=True)

    class Meta:
        ordering = ["created_at"]
        indexes = [models.Index(fields=["state", "last_stripe_call_at"])]

    def __str__(self) -> str:
        return str(self.id)


class Withdrawal(models.Model):
    """A customer's statement that they withdraw from the contract of a payment (Directive 2011/83/EU, Art. 11a)."""

    class Outcome(models.TextChoices):
        REFUNDED = "refunded", "Refunded"
        # The customer keeps the headshots that were finished by then.
        PART_REFUNDED = "part_refunded", "Refunded for the headshots that weren't made"
        DELIVERED = "delivered", "Recorded: the headshots were delivered before"
        LATE = "late", "Recorded: the 14 days were over"
        NOTHING_LEFT = "nothing_left", "Recorded: nothing was left to refund"

    payment = models.OneToOneField(Payment, on_delete=models.PROTECT, related_name="withdrawal")
    # When the customer made the statement. It counts, also if they confirmed it later by email.
    at = models.DateTimeField()
    outcome = models.CharField(max_length=13, choices=Outcome.choices)
    # True while the acknowledgment still has to be sent.
    mail_due = models.BooleanField(default=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"withdrawal from {self.payment_id}"


class WebhookEvent(models.Model):
    """A Stripe event, stored once.

    Holds only ids, type, times, amounts, currency and status, and nothing that names a customer."""

    class Outcome(models.TextChoices):
        DONE = "done"
        IGNORED = "ignored"
        # No payment of this event is known, or not yet.
        WAITING = "waiting"

    event_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    # True if the event was fetched from Stripe because no webhook had brought it.
    fetched = models.BooleanField(default=False)
    outcome = models.CharField(max_length=7, choices=Outcome.choices, default=Outcome.IGNORED)
    object_id = models.CharField(max_length=255, blank=True)
    payment_intent = models.CharField(max_length=255, blank=True)
    payment = models.ForeignKey(Payment, null=True, blank=True, on_delete=models.SET_NULL, related_name="events")
    amount = models.BigIntegerField(null=True, blank=True)
    amount_tax = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    status = models.CharField(max_length=32, blank=True)

    class Meta:
        ordering = ["-received_at"]
        indexes = [
            models.Index(fields=["outcome", "payment_intent"]),
            models.Index(fields=["object_id", "type"]),
        ]

    def __str__(self) -> str:
        return self.event_id


class LedgerIsAppendOnly(Exception):
    """Raised for an attempt to change or delete a ledger entry."""


class _AppendOnlyQuerySet(models.QuerySet["LedgerEntry"]):
    def update(self, **changes: object) -> int:
        raise LedgerIsAppendOnly

    def delete(self) -> tuple[int, dict[str, int]]:
        raise LedgerIsAppendOnly

    def bulk_update(self, objs: object, fields: object, batch_size: int | None = None) -> int:
        raise LedgerIsAppendOnly


class LedgerEntry(models.Model):
    """A movement of money. Entries are never changed or deleted.

    Database triggers enforce this too. An entry names no customer and has no foreign keys, so it outlives the account.
    The sum per mode and currency equals the sum of Stripe's balance transactions before fees."""

    class Kind(models.TextChoices):
        CHARGE = "charge"
        REFUND = "refund"
        REFUND_FAILED = "refund_failed"
        DISPUTE = "dispute"
        DISPUTE_WON = "dispute_won"

    at = models.DateTimeField(default=timezone.now, editable=False)
    kind = models.CharField(max_length=13, choices=Kind.choices, editable=False)
    amount = models.IntegerField(editable=False)
    currency = models.CharField(max_length=3, editable=False)
    mode = models.CharField(max_length=5, choices=Payment.Mode.choices, editable=False)
    payment_id = models.UUIDField(db_index=True, editable=False)
    # Stripe's id of the session, refund or dispute that moved the money.
    stripe_id = models.CharField(max_length=255, editable=False)

    objects = _AppendOnlyQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "ledger entries"
        indexes = [models.Index(fields=["at"], name="ledger_by_time")]
        constraints = [models.UniqueConstraint(fields=["kind", "stripe_id"], name="one_entry_per_movement")]

    def __str__(self) -> str:
        return f"{self.kind} {self.stripe_id}"

    def save(self, *args: object, **options: object) -> None:
        """Insert the entry. Raises LedgerIsAppendOnly if the entry is stored already."""
        if not self._state.adding:
            raise LedgerIsAppendOnly
        super().save(force_insert=True)

    def delete(self, *args: object, **options: object) -> tuple[int, dict[str, int]]:
        """Refuse to delete. Always raises LedgerIsAppendOnly."""
        raise LedgerIsAppendOnly


class LocalStripeObject(models.Model):
    """A checkout session or refund of the local test checkout, in the form that Stripe would return."""

    id = models.CharField(max_length=255, primary_key=True)
    body = models.JSONField()

    def __str__(self) -> str:
        return self.id
