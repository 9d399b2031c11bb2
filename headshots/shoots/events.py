"""Models of what happened: events, pauses, and counts of the quality gate. They outlive the headshots."""

from django.db import models
from django.utils import timezone


class Event(models.Model):
    """An event of a shoot or a pack: what happened, when and by whom, as ids, codes and numbers.

    Events are kept when the shoot and the pack are deleted."""

    class Actor(models.TextChoices):
        PERSON = "person"
        STAFF = "staff"
        SYSTEM = "system"

    at = models.DateTimeField(default=timezone.now, editable=False)
    # Not foreign keys, because the event stays when the shoot and the pack are deleted.
    shoot_id = models.UUIDField(db_index=True)
    pack_id = models.UUIDField(null=True, blank=True)
    name = models.CharField(max_length=40)
    actor = models.CharField(max_length=8, choices=Actor.choices, default=Actor.SYSTEM)
    # Codes by name: kind, engine, worker, reason, or a list of reasons.
    codes = models.JSONField(default=dict, blank=True)
    numbers = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["at", "id"]
        indexes = [models.Index(fields=["name", "at"]), models.Index(fields=["at"], name="event_by_time")]

    def __str__(self) -> str:
        return self.name


class Pause(models.Model):
    """A part of the product that staff has paused. Deleting the row ends the pause."""

    class Part(models.TextChoices):
        UPLOADS = "uploads"
        RENDERING = "rendering"

    part = models.CharField(max_length=12, choices=Part.choices, primary_key=True)
    since = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.part


class GateCount(models.Model):
    """The number of pictures of a pack with one outcome of the gate: `accepted`, or the main reason for refusal.

    The counts of a pack add up to what its engine rendered, so no gate can hide a bad engine. They outlive the
    headshots."""

    ACCEPTED = "accepted"

    pack = models.ForeignKey("Pack", on_delete=models.CASCADE, related_name="gate_counts")
    outcome = models.CharField(max_length=32)
    count = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["outcome"]
        constraints = [models.UniqueConstraint(fields=["pack", "outcome"], name="one_gate_count_per_outcome")]

    def __str__(self) -> str:
        return f"{self.pack_id}/{self.outcome}"
