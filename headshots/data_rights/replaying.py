"""After a restore: what was deleted since the backup was made is deleted once more."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from headshots.accounts.models import User
from headshots.data_rights.services import begin_leaving, finish_leaving
from headshots.retention.deletions import Deletion, What
from headshots.retention.purging import forget_packs, purge_shoots
from headshots.retention.wal import empty_journals
from headshots.shoots.lifecycle import begin_purges
from headshots.shoots.models import Event, Pack, Shoot
from headshots.vault import services as vault

log = logging.getLogger(__name__)

# Shoots or packs in one transaction.
_AT_ONCE = 200


@dataclass
class Replayed:
    """What was there again and has gone. `unfinished`: accounts that are closed and of which beat removes the rest."""

    accounts: list[int] = field(default_factory=list)
    unfinished: list[int] = field(default_factory=list)
    shoots: int = 0
    packs: int = 0


def replay(deletions: Iterable[Deletion]) -> Replayed:
    """Delete again what these lines name, as far as it is there. Safe to repeat. Raises VaultError."""
    lines = list(deletions)
    shoots = [UUID(line.id) for line in lines if line.what is What.PHOTOS]
    packs = [UUID(line.id) for line in lines if line.what is What.HEADSHOTS]
    # First: with a ring out of a backup, pictures could be read again.
    vault.destroy_keys(ring="source", key_ids=shoots)
    vault.destroy_keys(ring="result", key_ids=packs)
    replayed = Replayed()
    for line in lines:
        if line.what is What.ACCOUNT:
            _delete_account(line, replayed)
    for some in _batches(shoots):
        begin_purges(Shoot.objects.filter(pk__in=some), actor=Event.Actor.STAFF)
        replayed.shoots += len(purge_shoots(shoot_ids=some))
    for some in _batches(packs):
        there = Pack.objects.filter(pk__in=some).exclude(state=Pack.State.FORGOTTEN)
        replayed.packs += len(forget_packs(pack_ids=list(there.values_list("pk", flat=True)), actor=Event.Actor.STAFF))
    empty_journals()
    return replayed


def _delete_account(line: Deletion, replayed: Replayed) -> None:
    """Numbers are given again after a restore: an account that began after the deletion is another one."""
    owner = User.objects.filter(pk=int(line.id), date_joined__lt=line.at).first()
    if owner is None:
        return
    begin_leaving(owner=owner, receipt_id=uuid4(), actor=Event.Actor.STAFF)
    (replayed.accounts if finish_leaving(owner=owner) else replayed.unfinished).append(owner.pk)


def _batches(ids: list[UUID]) -> Iterable[list[UUID]]:
    return [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
