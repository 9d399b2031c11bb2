"""Keys that belong to nobody, and open shoots that have no key: what a crash or a lost ring leaves behind.

A key is made before the row that it is for, so one without a row may be a second old. Only one that had none at the
sweep before, an hour ago, is destroyed.
"""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import QuerySet

from headshots.shoots.lifecycle import begin_purges
from headshots.shoots.models import Pack, Shoot
from headshots.vault import services as vault
from headshots.vault.models import Ring
from headshots.vault.rings import open_ring

Strays = dict[str, list[str]]


def sweep_stray_keys(before: Strays) -> tuple[int, Strays]:
    """Destroy keys that belong to nobody and did not in `before`; how many, and those that belong to nobody now."""
    strays = {ring: _strays(ring) for ring in Ring}
    destroyed = 0
    for ring, key_ids in strays.items():
        known = set(before.get(ring, ()))
        doomed = [key_id for key_id in key_ids if str(key_id) in known]
        vault.destroy_keys(ring=ring, key_ids=doomed)
        destroyed += len(doomed)
    # What a server still keeps of keys that were destroyed since the last time goes with it.
    vault.forget_removed_keys(ring=Ring.RESULT)
    return destroyed, {ring: [str(key_id) for key_id in key_ids] for ring, key_ids in strays.items()}


def close_shoots_without_key() -> list[UUID]:
    """Open shoots whose key is gone although its ring was not lost: somebody erased it."""
    opened = list(Shoot.objects.filter(state=Shoot.State.OPEN).values_list("pk", flat=True))
    # Read after the rows: whoever is in them had a key by then.
    keys = set(open_ring(Ring.SOURCE).key_ids())
    lost = [shoot_id for shoot_id in opened if shoot_id not in keys]
    return [shoot_id for some in _batches(lost) for shoot_id in begin_purges(_shoots(some), lost=True)]


def _strays(ring: Ring) -> list[UUID]:
    key_ids = open_ring(ring).key_ids()
    return [key_id for some in _batches(key_ids) for key_id in set(some) - _owners(ring, some)]


def _owners(ring: Ring, key_ids: Sequence[UUID]) -> set[UUID]:
    if ring is Ring.SOURCE:
        return set(_shoots(key_ids).exclude(state=Shoot.State.PURGED).values_list("pk", flat=True))
    packs = Pack.objects.filter(pk__in=key_ids).exclude(state=Pack.State.FORGOTTEN)
    return set(packs.values_list("pk", flat=True))


def _shoots(ids: Sequence[UUID]) -> QuerySet[Shoot]:
    return Shoot.objects.filter(pk__in=ids)


def _batches(ids: Sequence[UUID]) -> list[Sequence[UUID]]:
    return [ids[start : start + vault.AT_ONCE] for start in range(0, len(ids), vault.AT_ONCE)]
