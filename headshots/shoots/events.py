"""Models that outlive shoots: events and pauses."""

from django.db import models
from django.utils import timezone


class Event(models.Model):
    """What happened to a shoot or a pack, when and by whom, in ids, codes and numbers. Outlives what it is about."""

    class Actor(models.TextChoices):
        PERSON = "person"
        STAFF = "staff"
        SYSTEM = "system"

    at = models.DateTimeField(default=timezone.now, editable=False)
    # No foreign keys: the event stays when what it is about has gone.
    shoot_id = models.UUIDField(db_index=True)
    pack_id = models.UUIDField(null=True, blank=True)
    name = models.CharField(max_length=40)
    actor = models.CharField(max_length=8, choices=Actor.choices, default=Actor.SYSTEM)
    # By their subject: kind, engine, worker, reason, or several reasons in a list.
    codes = models.JSONField(default=dict, blank=True)
    numbers = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["at", "id"]
        indexes = [models.Index(fields=["name", "at"]), models.Index(fields=["at"], name="event_by_time")]

    def __str__(self) -> str:
        return self.name


class Pause(models.Model):
    """A part of the product that staff has stopped for a while."""

    class Part(models.TextChoices):
        UPLOADS = "uploads"
        RENDERING = "rendering"

    part = models.CharField(max_length=12, choices=Part.choices, primary_key=True)
    since = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.part
