"""Repeat, after a restore, the deletions made since the backup."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from headshots.accounts.models import User
from headshots.data_rights.services import begin_account_deletion, finish_account_deletion
from headshots.retention.deletions import Deletion, DeletionKind
from headshots.retention.purging import delete_packs, purge_shoots
from headshots.retention.wal import checkpoint_journals
from headshots.shoots.lifecycle import begin_purges
from headshots.shoots.models import Event, Pack, Shoot
from headshots.vault import services as vault

log = logging.getLogger(__name__)

# Shoots or packs per transaction.
_BATCH_SIZE = 200


@dataclass
class ReplayResult:
    """What a replay deleted again.

    Attributes:
        accounts: ids of deleted accounts.
        unfinished: ids of closed accounts. Beat deletes the rest of them.
        shoots: number of shoots whose photos were deleted.
        packs: number of packs whose headshots were deleted.
    """

    accounts: list[int] = field(default_factory=list)
    unfinished: list[int] = field(default_factory=list)
    shoots: int = 0
    packs: int = 0


def replay(deletions: Iterable[Deletion]) -> ReplayResult:
    """Repeat these deletions for everything that exists again. Safe to repeat. Raises VaultError."""
    lines = list(deletions)
    shoots = [UUID(line.id) for line in lines if line.kind is DeletionKind.PHOTOS]
    packs = [UUID(line.id) for line in lines if line.kind is DeletionKind.HEADSHOTS]
    # Destroy the keys first, because a ring restored from a backup makes the pictures readable again.
    vault.destroy_keys(ring="source", key_ids=shoots)
    vault.destroy_keys(ring="result", key_ids=packs)
    result = ReplayResult()
    for line in lines:
        if line.kind is DeletionKind.ACCOUNT:
            _replay_account_deletion(line, result)
    for some in _batches(shoots):
        begin_purges(Shoot.objects.filter(pk__in=some), actor=Event.Actor.STAFF)
        result.shoots += len(purge_shoots(shoot_ids=some))
    for some in _batches(packs):
        there = Pack.objects.filter(pk__in=some).exclude(state=Pack.State.DELETED)
        result.packs += len(delete_packs(pack_ids=list(there.values_list("pk", flat=True)), actor=Event.Actor.STAFF))
    checkpoint_journals()
    return result


def _replay_account_deletion(line: Deletion, result: ReplayResult) -> None:
    """Delete the account of this line again and add its id to `result`.

    Skips accounts created after the deletion. After a restore, new accounts can get the ids of deleted ones."""
    owner = User.objects.filter(pk=int(line.id), date_joined__lt=line.at).first()
    if owner is None:
        return
    begin_account_deletion(owner=owner, certificate_id=uuid4(), actor=Event.Actor.STAFF)
    (result.accounts if finish_account_deletion(owner=owner) else result.unfinished).append(owner.pk)


def _batches(ids: list[UUID]) -> Iterable[list[UUID]]:
    return [ids[start : start + _BATCH_SIZE] for start in range(0, len(ids), _BATCH_SIZE)]
