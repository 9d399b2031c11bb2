"""Money against the clock: a checkout is open only while what it sells can still be made of the photos."""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from headshots.shoots.models import Event, Headshot, Pack, Shoot

# Stripe keeps a session open for at least 30 minutes and at most a day; a minute is for the way there.
SHORTEST = timedelta(minutes=31)
LONGEST = timedelta(hours=23, minutes=59)
# Loading an engine, preparing the person.
_PREPARING = timedelta(minutes=3)
_PACKS_LOOKED_AT = 10


def checkout_closes(shoot: Shoot, *, engine_name: str, count: int) -> datetime | None:
    """Until when this shoot's pack can be paid; None when that would be too late for its photos."""
    now = timezone.now()
    latest = shoot.delete_after - time_needed(engine_name=engine_name, count=count)
    return min(latest, now + LONGEST) if latest >= now + SHORTEST else None


def is_time_left(shoot: Shoot, *, engine_name: str, count: int) -> bool:
    """Whether a pack that is queued now is finished before its photos go."""
    return timezone.now() + time_needed(engine_name=engine_name, count=count) < shoot.delete_after


def time_needed(*, engine_name: str, count: int) -> timedelta:
    """How long a pack of `count` will take, with all that is queued before it."""
    unfinished = (Headshot.State.PENDING, Headshot.State.RENDERING)
    in_work = (Pack.State.QUEUED, Pack.State.RENDERING)
    ahead = Headshot.objects.filter(pack__kind=Pack.Kind.PREMIUM, pack__state__in=in_work, state__in=unfinished)
    return _PREPARING + timedelta(seconds=(ahead.count() + count) * seconds_per_headshot(engine_name))


def seconds_per_headshot(engine_name: str) -> float:
    """On the clock, from the last packs that this engine delivered here; the setting while there are none."""
    delivered = Pack.objects.filter(kind=Pack.Kind.PREMIUM, engine=engine_name, delivered_at__isnull=False)
    packs = {pack.pk: pack for pack in delivered.order_by("-delivered_at")[:_PACKS_LOOKED_AT]}
    started = dict(Event.objects.filter(name="pack.rendering", pack_id__in=packs).values_list("pack_id", "at"))
    timed = [pack for pack in packs.values() if pack.pk in started]
    if not timed:
        return float(settings.HEADSHOTS_SECONDS_PER_HEADSHOT)
    seconds = sum((pack.delivered_at - started[pack.pk]).total_seconds() for pack in timed if pack.delivered_at)
    return seconds / sum(pack.total for pack in timed)
