"""Models of deletions: certificates and their key destructions. No address, picture or measurement of a face."""

import secrets
import uuid

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from headshots.shoots.models import Event
from headshots.vault.models import Ring

_FIRST = ("photo", "headshot")
# Crockford's Base32, which has no characters that are easily confused over the phone.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_reference() -> str:
    """Return a new reference like HS-XXXXX-XXXXX, made of 50 random bits. Customers quote the reference to support."""
    bits = secrets.randbits(50)
    letters = "".join(_ALPHABET[bits >> shift & 31] for shift in range(0, 50, 5))
    return f"HS-{letters[:5]}-{letters[5:]}"


class DeletionCertificate(models.Model):
    """The certificate of one deletion: of a shoot's photos or headshots, or of a whole account."""

    class Kind(models.TextChoices):
        SHOOT = "shoot"
        ACCOUNT = "account"

    # Used in links. The link alone opens an account's certificate, because no account is left to sign in to.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    reference = models.CharField(max_length=16, unique=True, default=new_reference, editable=False)
    kind = models.CharField(max_length=7, choices=Kind.choices)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="deletion_certificates",
        editable=False,
    )
    requested_by = models.CharField(max_length=8, choices=Event.Actor.choices)
    # Not a foreign key, because the certificate is kept after the shoot's row is deleted.
    shoot_id = models.UUIDField(null=True, db_index=True, editable=False)
    begun_at = models.DateTimeField(default=timezone.now, editable=False)
    # An account's deletion begins when the keys are destroyed. The deletion is done when the address is deleted.
    done_at = models.DateTimeField(null=True, editable=False)
    # Until when backups hold the remaining data: unreadable ciphertext and database rows. None if there are no backups.
    backups_until = models.DateTimeField(null=True, editable=False)
    # Until when a backup of the result ring could still decrypt finished headshots.
    result_keys_until = models.DateTimeField(null=True, editable=False)
    # For accounts only: the consents that are kept as proof, and counts of payments and refunds.
    account = models.JSONField(default=dict, blank=True, editable=False)
    keep_until = models.DateTimeField(db_index=True, editable=False)
    mailed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-begun_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner"], condition=models.Q(kind="account"), name="one_certificate_per_account"
            )
        ]

    def __str__(self) -> str:
        return self.reference

    def get_absolute_url(self) -> str:
        return reverse("retention:certificate", args=[self.pk])

    @property
    def title(self) -> str:
        if self.kind == self.Kind.ACCOUNT:
            return "Your account is deleted" if self.done_at else "Your account is being deleted"
        rings = {destruction.ring for destruction in self.key_destructions.all()}
        if rings == {Ring.RESULT.value}:
            return "Your headshots are deleted"
        return "Your photos are deleted" if rings == {Ring.SOURCE.value} else "Your photos and headshots are deleted"


class KeyDestruction(models.Model):
    """The record that one key was destroyed, with counts of the contents deleted afterwards."""

    ring = models.CharField(max_length=8, choices=Ring.choices)
    key_id = models.UUIDField()
    shoot_id = models.UUIDField(db_index=True)
    # The key was destroyed at this time or earlier.
    destroyed_at = models.DateTimeField(default=timezone.now, editable=False)
    # When the files and rows were deleted.
    done_at = models.DateTimeField(null=True, editable=False)
    # The number of files per kind, and of database rows under `rows`.
    counts = models.JSONField(default=dict, blank=True)
    certificate = models.ForeignKey(
        DeletionCertificate, null=True, on_delete=models.CASCADE, related_name="key_destructions"
    )

    class Meta:
        ordering = ["destroyed_at"]
        constraints = [models.UniqueConstraint(fields=["ring", "key_id"], name="one_destruction_per_key")]

    def __str__(self) -> str:
        return f"{self.ring} {self.key_id}"

    @property
    def sorted_counts(self) -> list[tuple[str, int]]:
        """Return the counts per kind: photos and headshots first, then other files, then rows."""
        return sorted(self.counts.items(), key=lambda item: (item[0] == "rows", item[0] not in _FIRST, item[0]))


class LastRun(models.Model):
    """The last run of a beat task that reached its end, with data for the next run."""

    task = models.CharField(max_length=32, primary_key=True)
    at = models.DateTimeField()
    # Ring -> ids of keys without a shoot or pack. The next sweep destroys the keys that are still orphaned.
    orphaned_keys = models.JSONField(default=dict, blank=True)

    def __str__(self) -> str:
        return self.task
