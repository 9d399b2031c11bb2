"""Store blobs, as ciphertext only: the protocol, and its implementation in a folder.

A blob's name is its ring and its id, and an id begins with the time of its making (`blob_ids.py`). So a store lists
what is young, or finds what is oldest, without touching the rest.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shutil import disk_usage
from typing import BinaryIO, Protocol
from uuid import UUID

from headshots.vault.blob_ids import FIRST, LAST, created_at_of, first_id_at
from headshots.vault.errors import BlobMissing
from headshots.vault.private_files import (
    TEMPORARY,
    make_folder,
    sync_folder,
    temporary_beside,
    uuid_or_none,
    write_new_file,
)


@dataclass(frozen=True)
class BlobName:
    """What a blob is called in a store."""

    ring: str
    blob_id: UUID


class BlobStore(Protocol):
    """Raises VaultUnavailable where the store does not answer; everything may then be tried again."""

    def write(self, name: BlobName, chunks: Iterable[bytes]) -> None:
        """Store the (encrypted) chunks, whole or not at all."""

    def open(self, name: BlobName) -> BinaryIO:
        """The file, open for reading. Raises BlobMissing."""

    def delete(self, names: Sequence[BlobName]) -> None:
        """Remove these files. Safe to repeat. `sweep_unfinished` removes unfinished copies."""

    def ids(self, ring: str, first: UUID = FIRST, last: UUID = LAST) -> Iterator[UUID]:
        """Ids of the blobs of a ring from `first` to `last`, oldest first; files of others are passed over."""

    def sweep_unfinished(self, before: datetime) -> int:
        """Remove what a crash left unfinished before that time; how many."""

    def has_room(self, size: int) -> bool:
        """Whether so many bytes can be expected to fit."""


class FileStore:
    """Blobs below one folder, in folders of about five hours; folders 0700, files 0600.

    The name of such a folder is the beginning of the ids in it: 24 of the 48 bits of their time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: BlobName, chunks: Iterable[bytes]) -> None:
        """Through to the disk, so that no power cut takes it."""
        path = self.path(name)
        make_folder(path.parent)
        temporary = temporary_beside(path)
        try:
            write_new_file(temporary, chunks)
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)

    def open(self, name: BlobName) -> BinaryIO:
        try:
            return self.path(name).open("rb")
        except FileNotFoundError:
            raise BlobMissing(name.blob_id) from None

    def delete(self, names: Sequence[BlobName]) -> None:
        for name in names:
            # Unfinished copies are of writes that never ended, whose names nobody knows: the sweep takes those.
            self.path(name).unlink(missing_ok=True)

    def ids(self, ring: str, first: UUID = FIRST, last: UUID = LAST) -> Iterator[UUID]:
        for folder in self._folders(ring):
            if _shard(first) <= folder.name <= _shard(last):
                ids = (uuid_or_none(path.name) for path in folder.iterdir())
                yield from sorted(blob_id for blob_id in ids if blob_id and first <= blob_id <= last)

    def sweep_unfinished(self, before: datetime) -> int:
        """Empty folders of that time go as well."""
        newest, removed = first_id_at(before), 0
        for folder in [folder for ring in self.root.glob("*") for folder in self._folders(ring.name)]:
            if folder.name > _shard(newest):
                continue
            for path in folder.glob(f"*{TEMPORARY}"):
                blob_id = uuid_or_none(path.name.split(".")[0])
                if blob_id and created_at_of(blob_id) < before:
                    path.unlink(missing_ok=True)
                    removed += 1
            if folder.name < _shard(newest):
                with suppress(OSError):
                    folder.rmdir()
        return removed

    def has_room(self, size: int) -> bool:
        folder = self.root
        while not folder.exists():
            folder = folder.parent
        return disk_usage(folder).free >= size

    def path(self, name: BlobName) -> Path:
        return self.root / name.ring / _shard(name.blob_id) / str(name.blob_id)

    def _folders(self, ring: str) -> list[Path]:
        """The folders of a ring, oldest first."""
        return sorted((self.root / ring).glob("[0-9a-f]" * _SHARD_DIGITS))


_SHARD_DIGITS = 6


def _shard(blob_id: UUID) -> str:
    return blob_id.hex[:_SHARD_DIGITS]
