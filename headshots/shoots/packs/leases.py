"""Who may work on what, and for how long: a token in the row, renewed while the work gets on.

Whoever's token stands in a row may finish it; a lease that was not renewed in time may be taken over.
"""

import time
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from headshots import engine
from headshots.runtime import heartbeat
from headshots.shoots.live import nudge
from headshots.shoots.models import Headshot, Pack, Preparation, Shoot

RENEW_EVERY_SECONDS = 2.0

# This worker's name among all workers, set when it starts.
node_name = ""


def lease_end() -> datetime:
    """Until when a lease that is taken or renewed now holds."""
    return timezone.now() + timedelta(seconds=settings.HEADSHOTS_LEASE_SECONDS)


class KeepGoing:
    """The engine's progress callback: renews the leases, records a heartbeat, stops work that nobody wants any more.

    preparation: the token of the pack's preparation while this worker is at it."""

    def __init__(self, pack: Pack, token: uuid.UUID | None) -> None:
        self.preparation: uuid.UUID | None = None
        self._pack = pack
        self._token = token
        self._renewed = time.monotonic()

    def __call__(self, share: float) -> None:
        """Raises Cancelled when the pack, the shoot or the lease has gone meanwhile."""
        heartbeat.record_progress()
        if time.monotonic() - self._renewed < RENEW_EVERY_SECONDS:
            return
        self._renewed = time.monotonic()
        still_wanted = Headshot.objects.filter(
            lease_token=self._token, pack__state=Pack.State.RENDERING, pack__shoot__state=Shoot.State.OPEN
        ).update(lease_until=lease_end())
        if self.preparation is not None:
            mine = Preparation.objects.filter(lease_token=self.preparation)
            still_wanted = still_wanted and mine.update(lease_until=lease_end(), share=share)
            nudge(self._pack.shoot_id)
        if not still_wanted:
            raise engine.Cancelled


def free_own_leases() -> set[uuid.UUID]:
    """Free what a worker of this name held when it was killed; the ids of the packs that wait for it."""
    held = Headshot.objects.filter(state=Headshot.State.RENDERING, lease_holder=node_name)
    packs = set(held.values_list("pack_id", flat=True))
    held.update(state=Headshot.State.PENDING, lease_token=None, lease_until=None)
    # Not deleted: whoever takes it over sees that somebody failed.
    begun = Preparation.objects.filter(blob=None, lease_holder=node_name)
    begun.update(lease_until=timezone.now() - timedelta(seconds=1))
    return packs
