"""Leases: which worker may work on a row, and until when.

Only the holder of a row's token may finish the row. Another worker may take over a lease that has expired.
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


class LeaseRenewer:
    """The engine's progress callback: renews the leases, records a heartbeat, stops work that nobody wants any more.

    preparation: the token of the pack's preparation while this worker is at it."""

    def __init__(self, pack: Pack, token: uuid.UUID | None) -> None:
        self.preparation: uuid.UUID | None = None
        self._pack = pack
        self._token = token
        self._renewed = time.monotonic()

    def __call__(self, share: float) -> None:
        """Raises Canceled when the pack, the shoot or the lease has gone meanwhile."""
        heartbeat.record_progress()
        if time.monotonic() - self._renewed < RENEW_EVERY_SECONDS:
            return
        self._renewed = time.monotonic()
        rows = Headshot.objects.filter(
            lease_token=self._token, pack__state=Pack.State.RENDERING, pack__shoot__state=Shoot.State.OPEN
        )
        if not rows.update(lease_until=lease_end()):
            raise engine.Canceled
        if self.preparation is None:
            return
        preparation = Preparation.objects.filter(lease_token=self.preparation)
        if not preparation.update(lease_until=lease_end(), share=share):
            raise engine.Canceled
        nudge(self._pack.shoot_id)


def free_own_leases() -> set[uuid.UUID]:
    """Free what a worker of this name held when it was killed; the ids of the packs that wait for it."""
    held = Headshot.objects.filter(state=Headshot.State.RENDERING, lease_holder=node_name)
    packs = set(held.values_list("pack_id", flat=True))
    held.update(state=Headshot.State.PENDING, lease_token=None, lease_until=None)
    # Not deleted: whoever takes it over sees that somebody failed.
    begun = Preparation.objects.filter(blob=None, lease_holder=node_name)
    begun.update(lease_until=timezone.now() - timedelta(seconds=1))
    return packs
