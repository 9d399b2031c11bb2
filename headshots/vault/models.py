"""Models of the vault: blobs, and the id of this installation."""

from uuid import uuid4

from django.db import models

from headshots.vault.blob_ids import new_blob_id


class Ring(models.TextChoices):
    """The key ring that contains a blob's key."""

    # Keys of photos, one per shoot. They expire and are not backed up.
    SOURCE = "source"
    # Keys of headshots, one per pack.
    RESULT = "result"


class Installation(models.Model):
    """The single row with the id of this installation. A migration creates it.

    The id separates installations that share a server."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    only = models.BooleanField(default=True, unique=True, editable=False)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(only=True), name="installation_is_one")]

    def __str__(self) -> str:
        return str(self.id)


class Blob(models.Model):
    """One encrypted file: its key, its kind and its plaintext size. The bytes are in the store."""

    id = models.UUIDField(primary_key=True, default=new_blob_id, editable=False)
    ring = models.CharField(max_length=8, choices=Ring.choices)
    key_id = models.UUIDField(help_text="The shoot's id in the source ring, the pack's in the result ring.")
    kind = models.CharField(max_length=32)
    size = models.PositiveBigIntegerField(help_text="Bytes before encryption.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["ring", "key_id"], name="blob_by_key"),
            # For ranges of ids, which are ranges of time, within a ring.
            models.Index(fields=["ring", "id"], name="blob_by_name"),
            # For the oldest blob and the total size of a ring, without reading the rows.
            models.Index(fields=["ring", "created_at", "size"], name="blob_by_age"),
        ]
        constraints = [models.CheckConstraint(condition=models.Q(ring__in=Ring.values), name="blob_ring_is_known")]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"
