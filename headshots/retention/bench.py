"""Benchmark of deletion: how fast photos are purged, and how that time is spent."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple, TypeVar
from uuid import UUID, uuid4

from django.db import connection
from django.utils import timezone

from headshots.retention.due import BATCH_SIZE, purge_due
from headshots.shoots.models import Consent, Photo, Shoot
from headshots.vault import services as vault
from headshots.vault.blob_ids import new_blob_id
from headshots.vault.models import Blob
from headshots.vault.rings import open_ring
from headshots.vault.store import BlobName, FileStore

_NOISE_BYTES = 4096
_KINDS = ("photo", "faces")
_T = TypeVar("_T")


class _Timing(NamedTuple):
    """The seconds that a call took, by the clock and in CPU time of this process."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class PurgeBenchmark:
    """The result of the benchmark. All times are in seconds.

    CPU times count this process only, so they do not depend on the load of the machine.

    Attributes:
        photos: photos that were purged.
        living: photos that were not due.
        seconds: duration of the purge.
        database: part of the purge spent in database queries.
        store: time to delete the same number of files from the store alone.
        ring: time to delete the same number of keys from the ring alone.
        cpu: CPU time of the purge.
        store_cpu: CPU time to delete the same number of files from the store alone.
        idle: duration of a purge with nothing due.
    """

    photos: int
    living: int
    seconds: float
    database: float
    store: float
    ring: float
    cpu: float
    store_cpu: float
    idle: float

    def lines(self) -> list[str]:
        """Return the result as lines of text, for people to read."""
        own = self.seconds - self.database - self.store - self.ring
        parts = {"database": self.database, "store": self.store, "key ring": self.ring, "our own code": own}
        return [
            f"{self.photos} photos in {self.seconds:.2f} s: {self.photos / self.seconds:.0f} a second",
            *(f"  {name:12} {seconds:8.2f} s" for name, seconds in parts.items()),
            f"of the processor it took {self.cpu:.2f} s, the store alone {self.store_cpu:.2f} s",
            f"the next round, with nothing due beside {self.living} living photos: {self.idle * 1000:.0f} ms",
        ]


def bench_purge(photos: int, living: int = 0) -> PurgeBenchmark:
    """Create shoots with one photo each, some due and some not, and measure the purge of those that are due.

    photos: number of due shoots. living: number of shoots that are not due. Raises RuntimeError if the purge fails.
    Use a separate database, store and rings, because the benchmark leaves rows behind."""
    now = timezone.now()
    _make_shoots(living, now + timedelta(hours=12))
    files, keys = _measure_baseline(photos)
    _make_shoots(photos, now - timedelta(seconds=1))
    with _database_seconds() as database:
        took, purged = _timed(purge_due)
    if (purged.shoots, purged.failed) != (photos, 0):
        raise RuntimeError(f"{photos} were due: {purged}")
    idle, _ = _timed(purge_due)
    return PurgeBenchmark(
        photos=photos,
        living=living,
        seconds=took.wall,
        database=sum(database),
        store=files.wall,
        ring=keys.wall,
        cpu=took.cpu,
        store_cpu=files.cpu,
        idle=idle.wall,
    )


def _measure_baseline(photos: int) -> tuple[_Timing, _Timing]:
    """Measure how long the store needs to delete the photos' files, and the ring to delete their keys.

    Uses the batches of a purge. Returns the timings of the store and the ring."""
    store, ring = vault.blob_store(), open_ring("source")
    names = [BlobName("source", new_blob_id()) for _ in range(photos * len(_KINDS))]
    ids = [uuid4() for _ in range(photos)]
    for name in names:
        _write_noise(name)
    for key_id in ids:
        ring.create(key_id, timezone.now() + timedelta(hours=1))
    files, _ = _timed(lambda: _in_batches(store.delete, names))
    keys, _ = _timed(lambda: _in_batches(ring.destroy, ids))
    return files, keys


def _make_shoots(count: int, delete_after: datetime) -> None:
    """Create shoots in the state after upload and photo check.

    Each shoot has a key, a consent, and a photo with two blobs: the photo and its faces."""
    ring, epoch = open_ring("source"), vault.source_keyring_epoch()
    made = (Shoot(id=uuid4(), keyring_epoch=epoch, delete_after=delete_after) for _ in range(count))
    for shoots in _batches(made):
        blobs = [_blob(shoot.pk, kind) for shoot in shoots for kind in _KINDS]
        Shoot.objects.bulk_create(shoots)
        Consent.objects.bulk_create(Consent(shoot=shoot, consent_version="1", is_me_version="1") for shoot in shoots)
        Blob.objects.bulk_create(blobs)
        Photo.objects.bulk_create(
            Photo(shoot=shoot, position=0, state=Photo.State.ACCEPTED, blob=photo, faces_blob=faces)
            for shoot, photo, faces in zip(shoots, blobs[::2], blobs[1::2], strict=True)
        )
        for shoot in shoots:
            ring.create(shoot.pk, timezone.now() + timedelta(hours=1))
        for blob in blobs:
            _write_noise(vault.name_of(blob))


def _blob(key_id: UUID, kind: str) -> Blob:
    return Blob(id=new_blob_id(), ring="source", key_id=key_id, kind=kind, size=_NOISE_BYTES)


def _write_noise(name: BlobName) -> None:
    store = vault.blob_store()
    if not isinstance(store, FileStore):
        store.write(name, [os.urandom(_NOISE_BYTES)])
        return
    # Write without syncing each file to disk. Syncing would take most of an hour and is not what is measured.
    path = store.path(name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(os.urandom(_NOISE_BYTES))


def _in_batches(act: Callable[[list[_T]], None], items: list[_T]) -> None:
    for some in _batches(items):
        act(some)


def _batches(items: Iterator[_T] | list[_T]) -> Iterator[list[_T]]:
    rest = iter(items)
    return iter(lambda: list(islice(rest, BATCH_SIZE)), [])


def _timed(act: Callable[[], _T]) -> tuple[_Timing, _T]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = act()
    return _Timing(time.perf_counter() - wall, time.process_time() - cpu), result


@contextmanager
def _database_seconds() -> Iterator[list[float]]:
    """Measure the database queries in the block. Yields a list that receives the seconds of each query."""
    seconds: list[float] = []

    def query(execute: Callable[..., object], *arguments: object) -> object:
        took, result = _timed(lambda: execute(*arguments))
        seconds.append(took.wall)
        return result

    with connection.execute_wrapper(query):
        yield seconds
