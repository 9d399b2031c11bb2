"""Models of the dashboard: audit log, abuse reports, figures of past days, visits, workers."""

import secrets
from uuid import uuid4

from django.db import models
from django.utils import timezone

from headshots.payments.prices import format_decimal_money


class DayCounts(models.Model):
    """The counts of one past UTC day, from events and ledger."""

    day = models.DateField(primary_key=True)
    rules_version = models.PositiveSmallIntegerField(
        help_text="Version of the counting rules (`aggregation.RULES_VERSION`)."
    )
    # Counts by key, as returned by `aggregation.count_events`.
    counts = models.JSONField(default=dict)

    class Meta:
        ordering = ["day"]

    def __str__(self) -> str:
        return str(self.day)


class Visit(models.Model):
    """The number of views of a page on one UTC day, and of views that did not start from one of our own pages.

    Contains nothing about visitors: no cookie, address or browser."""

    day = models.DateField()
    # The name of the page's URL.
    page = models.CharField(max_length=60)
    views = models.PositiveIntegerField(default=0)
    visits = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", "page"], name="one_row_per_day_and_page")]

    def __str__(self) -> str:
        return f"{self.day} {self.page}"


class Worker(models.Model):
    """The last report of a worker or of beat. A worker that shuts down in an orderly way deletes its row."""

    # Celery's node name, such as `render@host`.
    name = models.CharField(max_length=255, primary_key=True)
    queue = models.CharField(max_length=40)
    engine = models.CharField(max_length=16, blank=True)
    device = models.CharField(max_length=80, blank=True)
    # Resident memory of the process.
    memory_bytes = models.PositiveBigIntegerField(default=0)
    # Memory of the device. None for workers without a device that has its own memory.
    device_used_bytes = models.PositiveBigIntegerField(null=True)
    device_total_bytes = models.PositiveBigIntegerField(null=True)
    busy = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta:
        ordering = ["queue", "name"]

    def __str__(self) -> str:
        return self.name


def new_report_number() -> str:
    """Return a number for an abuse report that can be read out on the phone."""
    return f"R-{secrets.randbelow(10**8):08}"


class AbuseReport(models.Model):
    """A report about a picture, from a person who may have no account. Contains nothing that they wrote."""

    class About(models.TextChoices):
        ME = "me", "Someone used a photo of me"
        CHILD = "child", "A picture shows a child"
        OTHER_PERSON = "other_person", "A picture shows someone I represent"
        OTHER = "other", "Something else"

    class Outcome(models.TextChoices):
        REMOVED = "removed", "Pictures or account removed"
        NOT_FOUND = "not_found", "No account found"
        NOT_OURS = "not_ours", "Not made here"
        UNFOUNDED = "unfounded", "No reason to act"
        SPAM = "spam", "Spam"

    number = models.CharField(max_length=12, unique=True, default=new_report_number, editable=False)
    about = models.CharField(max_length=12, choices=About.choices)
    received_at = models.DateTimeField("received", default=timezone.now, editable=False)
    closed_at = models.DateTimeField("closed", null=True, blank=True)
    outcome = models.CharField(max_length=9, choices=Outcome.choices, blank=True)

    class Meta:
        ordering = ["-received_at"]
        default_permissions = ("view",)
        permissions = [("close_report", "Can close abuse reports")]
        indexes = [models.Index(fields=["closed_at", "received_at"])]

    def __str__(self) -> str:
        return self.number


class AuditLogEntry(models.Model):
    """An entry of the audit log: what a member of staff did, to which target, when and why.

    Entries are never changed or deleted after the action."""

    at = models.DateTimeField("time", default=timezone.now, editable=False)
    # The number of the account. It is not a foreign key, so it remains when the account is deleted.
    staff_id = models.BigIntegerField("staff account", db_index=True)
    action = models.CharField(max_length=40)
    # The kind of the target (pack, shoot, account, ...) and its id.
    target_type = models.CharField(max_length=20)
    target_id = models.CharField(max_length=64, blank=True)
    # The name of the target at that time, for when the target no longer exists.
    target_name = models.CharField(max_length=100, blank=True)
    shoot_id = models.UUIDField(null=True, blank=True, db_index=True)
    reason = models.CharField(max_length=200)
    # The other answers of the form (amount, count, code, ...), or the changed fields of an edit.
    details = models.JSONField(default=dict, blank=True)
    # Identifies the confirmation page, so that a form sent twice is performed once.
    submission = models.UUIDField(unique=True, default=uuid4, editable=False)

    class Meta:
        verbose_name = "audit log entry"
        verbose_name_plural = "audit log"
        ordering = ["-at", "-pk"]
        default_permissions = ("view",)
        permissions = [
            ("view_stats", "Can view statistics"),
            ("view_money", "Can view revenue and refunds"),
            ("view_timeline", "Can view shoot timelines"),
            ("view_gallery", "Can view finished headshots with support access"),
            ("manage_packs", "Can retry and cancel packs"),
            ("block_account", "Can block accounts"),
            ("purge_now", "Can delete photos immediately"),
            ("resend_mail", "Can resend emails"),
            ("pause", "Can pause uploads and rendering"),
        ]

    def __str__(self) -> str:
        return f"{self.action}, {self.target_name or self.target_type}"

    @property
    def amount(self) -> str:
        """Return the amount of money or the number of packs as text. Returns "" for other actions."""
        given, currency = self.details.get("amount"), self.details.get("currency")
        if given and currency:
            return format_decimal_money(given, currency)
        count = self.details.get("count")
        return given or (f"{count} pack{'' if count == '1' else 's'}" if count else "")

    @property
    def other_details(self) -> str:
        """Return all details except the amount as text."""
        rest = {key: value for key, value in self.details.items() if key not in ("amount", "currency", "count")}
        return "; ".join(
            f"{key.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}"
            for key, value in rest.items()
        )
