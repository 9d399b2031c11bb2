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
# Crockford's: nothing that reads as something else over the telephone.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_reference() -> str:
    """What a person quotes to support, HS-XXXXX-XXXXX: fifty random bits, and nothing about anybody."""
    bits = secrets.randbits(50)
    letters = "".join(_ALPHABET[bits >> shift & 31] for shift in range(0, 50, 5))
    return f"HS-{letters[:5]}-{letters[5:]}"


class DeletionCertificate(models.Model):
    """One deletion as its person is told of it: a shoot's photos or headshots, or a whole account."""

    class Kind(models.TextChoices):
        SHOOT = "shoot"
        ACCOUNT = "account"

    # In links. A link to the certificate of an account is enough to read it, for there is no account to sign in to.
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
    # No foreign key: the certificate stays when the shoot has gone.
    shoot_id = models.UUIDField(null=True, db_index=True, editable=False)
    begun_at = models.DateTimeField(default=timezone.now, editable=False)
    # An account's is begun when its keys die and done when the address has gone.
    done_at = models.DateTimeField(null=True, editable=False)
    # Until when the operator's backups hold what is left: noise, and rows of the database. None: there are no backups.
    backups_until = models.DateTimeField(null=True, editable=False)
    # Until when a backup of the result ring could still open finished headshots.
    result_keys_until = models.DateTimeField(null=True, editable=False)
    # Of an account: which consents stay as proof, and what else went. Versions, times and counts.
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
    """The proof that one key died, and what died with it."""

    ring = models.CharField(max_length=8, choices=Ring.choices)
    key_id = models.UUIDField()
    shoot_id = models.UUIDField(db_index=True)
    # The key was dead at this time, at the latest.
    destroyed_at = models.DateTimeField(default=timezone.now, editable=False)
    # When the files and rows had followed it.
    done_at = models.DateTimeField(null=True, editable=False)
    # Files by kind, and `rows` of the database.
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
        """Kinds and how many, in the order in which people think of them."""
        return sorted(self.counts.items(), key=lambda item: (item[0] == "rows", item[0] not in _FIRST, item[0]))


class LastRun(models.Model):
    """When a task of beat's was last done to its end, and what the next one has to know of it."""

    task = models.CharField(max_length=32, primary_key=True)
    at = models.DateTimeField()
    # Ring -> ids of keys that belonged to nobody: those that still do so the next time are destroyed.
    orphaned_keys = models.JSONField(default=dict, blank=True)

    def __str__(self) -> str:
        return self.task
