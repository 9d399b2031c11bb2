"""Money against the clock: a checkout is open only while what it sells can still be made of the photos."""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from headshots import engine
from headshots.accounts.models import User
from headshots.shoots import estimates
from headshots.shoots.models import Pack, Photo, Shoot

# Stripe keeps a session open for at least 30 minutes and at most a day; a minute is for the way there.
SHORTEST = timedelta(minutes=31)
LONGEST = timedelta(hours=23, minutes=59)
# A worker that starts at this moment loads its engine first.
_LOADING = timedelta(minutes=3)
# Estimates want to be right within a third; what is paid for has to be finished when they are not.
_CAUTION = 1.5


def checkout_closes(shoot: Shoot, *, engine_name: str, count: int) -> datetime | None:
    """Until when this shoot's pack can be paid; None when that would be too late for its photos."""
    now = timezone.now()
    latest = shoot.delete_after - time_needed(engine_name=engine_name, count=count)
    return min(latest, now + LONGEST) if latest >= now + SHORTEST else None


def is_time_left(shoot: Shoot, *, engine_name: str, count: int) -> bool:
    """Whether a pack that is queued now is finished before its photos go."""
    return timezone.now() + time_needed(engine_name=engine_name, count=count) < shoot.delete_after


def shoot_to_use(owner: User) -> Shoot | None:
    """The newest shoot of which a pack could be made now."""
    usable = Shoot.objects.filter(owner=owner, state=Shoot.State.OPEN, photos__state__in=Photo.USABLE)
    shoot = usable.exclude(packs__in=Pack.objects.filter(kind=Pack.Kind.PREMIUM, state__in=Pack.LIVE)).first()
    name, count = engine.engine_name(), settings.HEADSHOTS_PREMIUM_COUNT
    return shoot if shoot and is_time_left(shoot, engine_name=name, count=count) else None


def time_needed(*, engine_name: str, count: int) -> timedelta:
    """How long a pack of `count` may take, with all that is queued before it."""
    return _LOADING + _CAUTION * timedelta(seconds=estimates.seconds_needed(engine_name=engine_name, count=count))
