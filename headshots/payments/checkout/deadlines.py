"""Deadlines of a sale: a checkout stays open only while there is time to make the pack from the photos."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from headshots import engine
from headshots.accounts.models import User
from headshots.shoots.models import Pack, Photo, Shoot
from headshots.shoots.packs import estimates

# Stripe allows 30 minutes to 24 hours. The extra minute is for the request to Stripe.
MIN_CHECKOUT_TIME = timedelta(minutes=31)
MAX_CHECKOUT_TIME = timedelta(hours=23, minutes=59)
# A worker that has just started loads its models first.
_MODEL_LOAD_TIME = timedelta(minutes=3)
# Estimates aim to be right within a third. A paid pack must be finished in time even if its estimate is not.
_SAFETY_FACTOR = 1.5


def checkout_deadline(shoot: Shoot, *, engine_name: str, count: int) -> datetime | None:
    """Return the time until which a pack of this shoot can be paid.

    Returns None if there is no time for a checkout and for the pack before the photos are deleted."""
    now = timezone.now()
    latest = shoot.delete_after - time_needed(engine_name=engine_name, count=count)
    return min(latest, now + MAX_CHECKOUT_TIME) if latest >= now + MIN_CHECKOUT_TIME else None


def has_time_left(shoot: Shoot, *, engine_name: str, count: int) -> bool:
    """Return True if a pack that is queued now would be finished before the photos are deleted."""
    return timezone.now() + time_needed(engine_name=engine_name, count=count) < shoot.delete_after


def find_shoot_to_use(owner: User) -> Shoot | None:
    """Return the newest shoot that an account can order from, if there is time left to make a pack."""
    shoot = _orderable_shoots().filter(owner=owner).first()
    return shoot if shoot and _has_time_for_pack(shoot) else None


def can_order_from(shoot: Shoot) -> bool:
    """Return True if a pack can be ordered from this shoot with a credit now."""
    return _orderable_shoots().filter(pk=shoot.pk).exists() and _has_time_for_pack(shoot)


def _orderable_shoots() -> QuerySet[Shoot]:
    """Select open shoots that have a usable photo and no live premium pack."""
    usable = Shoot.objects.filter(state=Shoot.State.OPEN, photos__state__in=Photo.USABLE)
    return usable.exclude(packs__in=Pack.objects.filter(kind=Pack.Kind.PREMIUM, state__in=Pack.LIVE))


def _has_time_for_pack(shoot: Shoot) -> bool:
    return has_time_left(shoot, engine_name=engine.engine_name(), count=settings.HEADSHOTS_PREMIUM_COUNT)


def time_needed(*, engine_name: str, count: int) -> timedelta:
    """Estimate the time until a pack of `count` that is queued now is finished.

    Includes the time for earlier packs, and a margin."""
    return _MODEL_LOAD_TIME + _SAFETY_FACTOR * timedelta(
        seconds=estimates.seconds_needed(engine_name=engine_name, count=count)
    )
