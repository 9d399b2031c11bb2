"""A purge that is killed between any two steps."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection

from headshots.retention.due import purge_due
from headshots.retention.models import DeletionCertificate
from headshots.retention.purging import purge_shoot
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.models import Shoot
from headshots.vault import services as vault
from headshots.vault.models import Blob
from headshots.vault.rings import open_ring
from tests.headshots.retention.private import blob_files, events, make_shoot, path_of

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """The process is gone: nothing of ours may catch it."""


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[None]:
    """Die instead of the step-th change to the disk or the database: every removal of a file, every writing query."""
    left = step

    def count() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    def unlink(path: str | Path, *, dir_fd: int | None = None, real: Callable[..., None] = os.unlink) -> None:
        count()
        real(path, dir_fd=dir_fd)

    def query(execute, sql, params, many, context):
        if sql.startswith(("UPDATE", "DELETE", "INSERT")):
            count()
        return execute(sql, params, many, context)

    with monkeypatch.context() as patch, connection.execute_wrapper(query):
        patch.setattr(os, "unlink", unlink)
        yield


def assert_order_kept(shoot: Shoot, data_folder: Path, blobs: dict[UUID, list[Path]]) -> None:
    """Whatever moment this is: no file went before its key, no row before its file, no shoot is done too early."""
    for key_id, paths in blobs.items():
        ring = "source" if key_id == shoot.pk else "result"
        gone = [path for path in paths if not path.exists()]
        rows = Blob.objects.filter(key_id=key_id).count()
        if gone:
            assert not vault.key_exists(ring=ring, key_id=key_id)
        if rows < len(paths):
            assert gone == paths
    shoot.refresh_from_db()
    if shoot.state == Shoot.State.PURGED:
        assert blob_files(data_folder) == []


@pytest.mark.django_db(transaction=True)
def test_killed_between_any_two_steps_a_purge_is_finished_by_beat(owner, data_folder, monkeypatch):
    steps = 0
    while True:
        shoot = make_shoot(owner, packs=("delivered", "rendering"))
        begin_purge(shoot, everything=True)
        blobs = {
            key_id: [path_of(blob) for blob in Blob.objects.filter(key_id=key_id)]
            for key_id in (shoot.pk, *shoot.packs.values_list("pk", flat=True))
        }
        try:
            with killed_at(monkeypatch, steps):
                purge_shoot(shoot=shoot)
        except Killed:
            assert_order_kept(shoot, data_folder, blobs)
            purge_due()
            killed = True
        else:
            killed = False
        shoot.refresh_from_db()
        assert shoot.state == Shoot.State.PURGED
        assert events(shoot).count("shoot.purged") == 1
        assert events(shoot).count("pack.deleted") == 2
        assert (
            DeletionCertificate.objects.get(shoot_id=shoot.pk).key_destructions.filter(done_at__isnull=False).count()
            == 3
        )
        assert blob_files(data_folder) == []
        assert open_ring("source").key_ids() == open_ring("result").key_ids() == []
        assert not Blob.objects.exists()
        if not killed:
            break
        steps += 1
    # The purge was killed at each of its steps, and there were many.
    assert steps > 25, steps
