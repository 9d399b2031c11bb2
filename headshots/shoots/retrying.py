"""Another try for a pack that failed for good: what is done stays, what was given up is shot anew."""

from django.db import transaction

from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Event, Headshot, Pack, Shoot


def retry_pack(*, pack: Pack, actor: str = Event.Actor.STAFF) -> bool:
    """Whether this caller queued it again. Not once its photos are gone."""
    with transaction.atomic():
        # Locked against a purge that starts now.
        if not Shoot.objects.select_for_update().filter(pk=pack.shoot_id, state=Shoot.State.OPEN).exists():
            return False
        if not advance(pack, Pack.State.QUEUED, actor=actor):
            return False
        make_again(pack)
    return True


def make_again(pack: Pack) -> None:
    """Give the shots that are not done their three tries, and the pack its budget, once more."""
    Pack.objects.filter(pk=pack.pk).update(reshoots=0, replacements=0, setbacks=0, rests_until=None)
    pack.headshots.exclude(state=Headshot.State.DONE).update(
        state=Headshot.State.PENDING, attempts=0, takes=0, reasons=[], lease_token=None, lease_until=None
    )
