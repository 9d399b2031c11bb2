"""System checks of retention. They refuse settings that would break the promises of /retention/."""

from datetime import timedelta

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connection

from headshots.celery import app

# With a lifetime of 24 hours, photos are due five minutes before their key expires. Several purges must fit in between.
MAX_PURGE_INTERVAL = timedelta(seconds=60)
MAX_KEY_BACKUP_DAYS = 7


@register(Tags.security)
def check_purge_is_scheduled(**_: object) -> list[CheckMessage]:
    """Check that beat purges at least once a minute and sweeps orphans."""
    every = {entry["task"]: _as_delta(entry["schedule"]) for entry in (app.conf.beat_schedule or {}).values()}
    found: list[CheckMessage] = []
    if not timedelta(0) < every.get("retention.purge_due", timedelta.max) <= MAX_PURGE_INTERVAL:
        found.append(Error("Beat does not start retention.purge_due at least once a minute.", id="retention.E001"))
    if "retention.sweep_orphans" not in every:
        found.append(Error("Beat does not start retention.sweep_orphans.", id="retention.E002"))
    return found


@register(Tags.security)
def check_deleted_rows_are_blanked(**_: object) -> list[CheckMessage]:
    """Check that SQLite blanks deleted rows. Without `secure_delete`, deleted rows stay readable in the file."""
    if connection.vendor != "sqlite":
        return []
    on_connecting = str(connection.settings_dict["OPTIONS"].get("init_command", ""))
    if "secure_delete=on" in on_connecting.replace(" ", "").lower():
        return []
    hint = 'Put "PRAGMA secure_delete=ON" into the init_command of its OPTIONS.'
    return [Error("SQLite does not blank deleted rows.", hint=hint, id="retention.E003")]


@register(Tags.security)
def check_deletions_folder_is_separate(**_: object) -> list[CheckMessage]:
    """Check that the deletion journal is outside the data folder. Otherwise a restore would overwrite the journal."""
    if not settings.HEADSHOTS_DELETIONS_DIR.is_relative_to(settings.HEADSHOTS_DATA_DIR):
        return []
    hint = "Point HEADSHOTS_DELETIONS_DIR elsewhere: after a restore it has to say what was deleted since the backup."
    return [Error("The journal of deletions lies below the data folder.", hint=hint, id="retention.E007")]


@register(Tags.security)
def check_backups_end(**_: object) -> list[CheckMessage]:
    """Check that the retention periods are valid, and that backups of headshot keys are kept for at most 7 days."""
    found: list[CheckMessage] = []
    if not 0 <= settings.HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS <= MAX_KEY_BACKUP_DAYS:
        hint = "A deleted headshot can be read out of older backups for as long as its key lies in one."
        words = f"HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS must be 0 to {MAX_KEY_BACKUP_DAYS}."
        found.append(Error(words, hint=hint, id="retention.E004"))
    if settings.HEADSHOTS_BACKUP_DAYS < 0:
        found.append(Error("HEADSHOTS_BACKUP_DAYS must be 0 or more.", id="retention.E005"))
    found += [
        Error(f"{name} must be 1 or more.", id="retention.E006")
        for name in ("HEADSHOTS_DELETION_RECORD_DAYS", "HEADSHOTS_PAYMENT_RETENTION_DAYS")
        if getattr(settings, name) < 1
    ]
    return found


def _as_delta(schedule: object) -> timedelta:
    """Return the interval of a beat entry, given in seconds or as a timedelta. A crontab counts as endless."""
    if isinstance(schedule, timedelta):
        return schedule
    return timedelta(seconds=schedule) if isinstance(schedule, int | float) else timedelta.max
