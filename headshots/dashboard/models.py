"""What the operator's pages keep for themselves: figures of days that are over."""

from django.db import models


class DayFigures(models.Model):
    """Everything that was counted out of one day's events (UTC), once the day is over."""

    day = models.DateField(primary_key=True)
    rules = models.PositiveSmallIntegerField(help_text="Which rules it was counted by: `counting.RULES`.")
    # Key -> number, as `counting.count_events` spells them.
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
