"""Leases. A lease reserves a row for one worker until the lease expires.

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

# The unique name of this worker, set when it starts.
node_name = ""


def lease_end() -> datetime:
    """Return when a lease expires that is taken or renewed now."""
    return timezone.now() + timedelta(seconds=settings.HEADSHOTS_LEASE_SECONDS)


class LeaseRenewer:
    """The engine's progress callback: renews leases, records a heartbeat, and stops work that is no longer wanted.

    preparation: the lease token of the pack's preparation while this worker prepares the subject, otherwise None."""

    def __init__(self, pack: Pack, token: uuid.UUID | None) -> None:
        self.preparation: uuid.UUID | None = None
        self._pack = pack
        self._token = token
        self._renewed = time.monotonic()

    def __call__(self, share: float) -> None:
        """Record a heartbeat, and renew the leases every `RENEW_EVERY_SECONDS`.

        share: progress of the preparation, 0..1.
        Raises Canceled when the lease was lost, or the pack or its shoot has ended."""
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
    """Free the leases that a killed worker of this name held, and return the ids of their packs."""
    held = Headshot.objects.filter(state=Headshot.State.RENDERING, lease_holder=node_name)
    packs = set(held.values_list("pack_id", flat=True))
    held.update(state=Headshot.State.PENDING, lease_token=None, lease_until=None)
    # Expired, not deleted, so that the next worker that takes the preparation over counts a failed run.
    begun = Preparation.objects.filter(blob=None, lease_holder=node_name)
    begun.update(lease_until=timezone.now() - timedelta(seconds=1))
    return packs
