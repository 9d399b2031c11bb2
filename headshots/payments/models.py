"""Models of payments: Stripe's ids, amounts, times and codes. No name, address or card is stored.

Amounts are whole numbers in the currency's smallest unit, as at Stripe: 1900 is $19.00.
"""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from headshots.shoots.models import Pack


class Payment(models.Model):
    """One purchase of one premium pack, from the click to whatever became of the money.

    A pack has one payment at most, ever: another try is another pack."""

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
        """Which Stripe it is at: with real money, in its test mode, or our own test checkout."""

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
    # What it is for; nothing when it was bought without a shoot, to be used with the next one.
    pack = models.OneToOneField(Pack, null=True, blank=True, on_delete=models.SET_NULL, related_name="payment")
    engine = models.CharField(max_length=16)
    mode = models.CharField(max_length=5, choices=Mode.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    amount = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    # What was paid in the end: with tax, less what a promotion code took off.
    amount_paid = models.PositiveIntegerField(default=0)
    amount_tax = models.PositiveIntegerField(default=0)
    amount_refunded = models.PositiveIntegerField(default=0)
    session_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    session_url = models.TextField(blank=True)
    payment_intent = models.CharField(max_length=255, blank=True, db_index=True)
    dispute_id = models.CharField(max_length=255, blank=True)
    dispute_state = models.CharField(max_length=4, choices=Dispute.choices, default=Dispute.NONE, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # When its checkout closes.
    expires_at = models.DateTimeField()
    paid_at = models.DateTimeField(null=True, blank=True)
    # When Stripe was last asked about it.
    last_stripe_call_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "last_stripe_call_at"])]
        constraints = [
            # Two clicks on the price page open one checkout.
            models.UniqueConstraint(
                fields=["owner"],
                condition=models.Q(pack=None, state="open"),
                name="one_open_purchase_without_a_pack",
            )
        ]

    def __str__(self) -> str:
        return str(self.id)


class Credit(models.Model):
    """The right to one premium pack."""

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
        """Why staff granted it, for the books."""

        GOODWILL = "goodwill", "Goodwill"
        SUPPORT = "support", "Support"
        TEST = "test", "Trying the product"
        PRESS = "press", "Press"

    class Mail(models.TextChoices):
        """Which mail is still to be sent about it."""

        NONE = ""
        AVAILABLE = "available"
        PURCHASED = "purchased"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="credits"
    )
    source = models.CharField(max_length=7, choices=Source.choices)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    payment = models.OneToOneField(Payment, null=True, blank=True, on_delete=models.PROTECT, related_name="credit")
    # What it was used for.
    pack = models.OneToOneField(Pack, null=True, blank=True, on_delete=models.SET_NULL, related_name="credit")
    # The delivered pack that a free redo was asked for.
    redo_of = models.OneToOneField(Pack, null=True, blank=True, on_delete=models.SET_NULL, related_name="redo")
    # Why staff granted it: a `GrantReason`; empty for any other source.
    reason = models.CharField(max_length=32, blank=True)
    # Why the last pack that it was used for came to nothing: that pack's reason, for the mail.
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
    """Money on its way back. Its id is the idempotency key: asked of Stripe again, it is the same refund."""

    class State(models.TextChoices):
        REQUESTED = "requested"
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    class Reason(models.TextChoices):
        PERSON = "person", "The person asked for it"
        UNUSED = "unused", "Paid and not used"
        ACCOUNT_DELETED = "account_deleted", "The account goes"
        QUALITY = "quality", "Not what was promised"
        DUPLICATE = "duplicate", "Paid twice"
        FRAUDULENT = "fraudulent", "Not paid by the card's owner"
        GOODWILL = "goodwill", "Goodwill"
        STRIPE = "stripe", "Made at Stripe"

    # Stripe has taken it on.
    ACCEPTED_STATES = (State.PENDING, State.SUCCEEDED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    amount = models.PositiveIntegerField()
    reason = models.CharField(max_length=16, choices=Reason.choices)
    state = models.CharField(max_length=9, choices=State.choices, default=State.REQUESTED)
    stripe_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_stripe_call_at = models.DateTimeField(null=True, blank=True)
    # Whether a mail about its present state is due: that Stripe has accepted it, or that it failed after that mail.
    mail_due = models.BooleanField(default=True)

    class Meta:
        ordering = ["created_at"]
        indexes = [models.Index(fields=["state", "last_stripe_call_at"])]

    def __str__(self) -> str:
        return str(self.id)


class WebhookEvent(models.Model):
    """What Stripe told us, once each: ids, kind, time, amount and status of what it is about, nothing else."""

    class Outcome(models.TextChoices):
        DONE = "done"
        IGNORED = "ignored"
        # About a payment that we do not know, or do not know yet.
        WAITING = "waiting"

    event_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    # Fetched by us because no webhook had brought it.
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
    """Somebody tried to change or delete an entry of the ledger."""


class _AppendOnlyQuerySet(models.QuerySet["LedgerEntry"]):
    def update(self, **changes: object) -> int:
        raise LedgerIsAppendOnly

    def delete(self) -> tuple[int, dict[str, int]]:
        raise LedgerIsAppendOnly

    def bulk_update(self, objs: object, fields: object, batch_size: int | None = None) -> int:
        raise LedgerIsAppendOnly


class LedgerEntry(models.Model):
    """One movement of money, never changed and never deleted: the database refuses it too, by triggers.

    Without a person and without foreign keys, so that it stays as it is when an account goes. The sum per mode and
    currency is what Stripe's balance transactions add up to, before Stripe's own fees."""

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
    # Of the session, the refund or the dispute that moved it.
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
        """Only the first time. Raises LedgerIsAppendOnly."""
        if not self._state.adding:
            raise LedgerIsAppendOnly
        super().save(force_insert=True)

    def delete(self, *args: object, **options: object) -> tuple[int, dict[str, int]]:
        """Never. Raises LedgerIsAppendOnly."""
        raise LedgerIsAppendOnly


class LocalStripeObject(models.Model):
    """What the test checkout keeps in place of Stripe: a session, a refund, an answer under its idempotency key."""

    id = models.CharField(max_length=255, primary_key=True)
    body = models.JSONField()

    def __str__(self) -> str:
        return self.id
