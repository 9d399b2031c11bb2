"""Deadlines of a sale: a checkout stays open only while the photos live long enough to make the pack."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from headshots import engine
from headshots.accounts.models import User
from headshots.shoots.models import Pack, Photo, Shoot
from headshots.shoots.packs import estimates

# Stripe keeps a session open for at least 30 minutes and at most a day; a minute is for the way there.
MIN_CHECKOUT_TIME = timedelta(minutes=31)
MAX_CHECKOUT_TIME = timedelta(hours=23, minutes=59)
# A worker that starts at this moment loads its engine first.
_MODEL_LOAD_TIME = timedelta(minutes=3)
# Estimates want to be right within a third; what is paid for has to be finished when they are not.
_SAFETY_FACTOR = 1.5


def checkout_deadline(shoot: Shoot, *, engine_name: str, count: int) -> datetime | None:
    """Until when this shoot's pack can be paid; None when that would be too late for its photos."""
    now = timezone.now()
    latest = shoot.delete_after - time_needed(engine_name=engine_name, count=count)
    return min(latest, now + MAX_CHECKOUT_TIME) if latest >= now + MIN_CHECKOUT_TIME else None


def has_time_left(shoot: Shoot, *, engine_name: str, count: int) -> bool:
    """Whether a pack that is queued now is finished before its photos go."""
    return timezone.now() + time_needed(engine_name=engine_name, count=count) < shoot.delete_after


def find_shoot_to_use(owner: User) -> Shoot | None:
    """The newest shoot of which a pack could be made now."""
    shoot = _orderable_shoots().filter(owner=owner).first()
    return shoot if shoot and _has_time_for_pack(shoot) else None


def can_order_from(shoot: Shoot) -> bool:
    """Whether a pack could be made of this shoot now."""
    return _orderable_shoots().filter(pk=shoot.pk).exists() and _has_time_for_pack(shoot)


def _orderable_shoots() -> QuerySet[Shoot]:
    """Shoots with a photo that will do, of which no pack is being made or paid."""
    usable = Shoot.objects.filter(state=Shoot.State.OPEN, photos__state__in=Photo.USABLE)
    return usable.exclude(packs__in=Pack.objects.filter(kind=Pack.Kind.PREMIUM, state__in=Pack.LIVE))


def _has_time_for_pack(shoot: Shoot) -> bool:
    return has_time_left(shoot, engine_name=engine.engine_name(), count=settings.HEADSHOTS_PREMIUM_COUNT)


def time_needed(*, engine_name: str, count: int) -> timedelta:
    """How long a pack of `count` may take, with all that is queued before it."""
    return _MODEL_LOAD_TIME + _SAFETY_FACTOR * timedelta(
        seconds=estimates.seconds_needed(engine_name=engine_name, count=count)
    )
