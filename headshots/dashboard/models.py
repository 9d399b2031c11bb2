"""Models of the dashboard: audit log, figures of past days, visits, workers."""

from uuid import uuid4

from django.db import models
from django.utils import timezone

from headshots.payments.prices import format_decimal_money


class DayCounts(models.Model):
    """Everything that was counted out of one day's events (UTC), once the day is over."""

    day = models.DateField(primary_key=True)
    rules_version = models.PositiveSmallIntegerField(
        help_text="Which rules it was counted by: `aggregation.RULES_VERSION`."
    )
    # Key -> number, as `aggregation.count_events` spells them.
    counts = models.JSONField(default=dict)

    class Meta:
        ordering = ["day"]

    def __str__(self) -> str:
        return str(self.day)


class Visit(models.Model):
    """How often a page was looked at on one day (UTC), and how often somebody came to it from elsewhere.

    Nothing of whoever looked: no cookie, address or browser."""

    day = models.DateField()
    # The name of its URL.
    page = models.CharField(max_length=60)
    views = models.PositiveIntegerField(default=0)
    visits = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", "page"], name="one_row_per_day_and_page")]

    def __str__(self) -> str:
        return f"{self.day} {self.page}"


class Worker(models.Model):
    """A worker, or beat, as it last said of itself. One that ends in good order takes its row with it."""

    # Its node name, `render@host`.
    name = models.CharField(max_length=255, primary_key=True)
    queue = models.CharField(max_length=40)
    engine = models.CharField(max_length=16, blank=True)
    device = models.CharField(max_length=80, blank=True)
    # Of the process; of the device only where it has memory of its own.
    memory_bytes = models.PositiveBigIntegerField(default=0)
    device_used_bytes = models.PositiveBigIntegerField(null=True)
    device_total_bytes = models.PositiveBigIntegerField(null=True)
    busy = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta:
        ordering = ["queue", "name"]

    def __str__(self) -> str:
        return self.name


class AuditLogEntry(models.Model):
    """A line of the audit log: what a member of staff did, to what, when and why. Never changed or deleted."""

    at = models.DateTimeField("time", default=timezone.now, editable=False)
    # The number of their account, which stays when the account goes.
    staff_id = models.BigIntegerField("account of staff", db_index=True)
    action = models.CharField(max_length=40)
    # What kind of target it was done to (pack, shoot, account, ...) and which.
    target_type = models.CharField(max_length=20)
    target_id = models.CharField(max_length=64, blank=True)
    # What it was called then, for the day when it is gone.
    target_name = models.CharField(max_length=100, blank=True)
    shoot_id = models.UUIDField(null=True, blank=True, db_index=True)
    reason = models.CharField(max_length=200)
    # How much, how many, which, from what to what: what was chosen besides.
    details = models.JSONField(default=dict, blank=True)
    # Which showing of the question this came from: sent twice, it is done once.
    submission = models.UUIDField(unique=True, default=uuid4, editable=False)

    class Meta:
        verbose_name = "audit log entry"
        verbose_name_plural = "audit log"
        ordering = ["-at", "-pk"]
        default_permissions = ("view",)
        permissions = [
            ("view_stats", "May see the dashboard's statistics"),
            ("view_money", "May see revenue and refunds"),
            ("view_timeline", "May see what happened to a shoot"),
            ("view_gallery", "May view finished headshots while the customer grants support access"),
            ("manage_packs", "May retry and cancel packs"),
            ("block_account", "May block accounts"),
            ("purge_now", "May have photos destroyed at once"),
            ("resend_mail", "May send mails again"),
            ("pause", "May pause uploads and rendering"),
        ]

    def __str__(self) -> str:
        return f"{self.action}, {self.target_name or self.target_type}"

    @property
    def amount(self) -> str:
        """How much money or how many packs; empty where it was about neither."""
        given, currency = self.details.get("amount"), self.details.get("currency")
        if given and currency:
            return format_decimal_money(given, currency)
        count = self.details.get("count")
        return given or (f"{count} pack{'' if count == '1' else 's'}" if count else "")

    @property
    def other_details(self) -> str:
        """Everything else that was chosen or changed."""
        rest = {key: value for key, value in self.details.items() if key not in ("amount", "currency", "count")}
        return "; ".join(
            f"{key.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}"
            for key, value in rest.items()
        )
