"""Blob stores: the protocol, and an implementation in a folder. A store contains ciphertext only.

A blob's name consists of its ring and its id. An id begins with its creation time (`blob_ids.py`). A store can
therefore list new blobs, or find the oldest blob, without reading the others.
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
    """The name of a blob in a store."""

    ring: str
    blob_id: UUID


class BlobStore(Protocol):
    """A store of encrypted blobs. Methods raise VaultUnavailable if the store does not answer, and can be repeated."""

    def write(self, name: BlobName, chunks: Iterable[bytes]) -> None:
        """Store the encrypted chunks, completely or not at all."""

    def open(self, name: BlobName) -> BinaryIO:
        """Open the blob's file for reading. Raises BlobMissing."""

    def delete(self, names: Sequence[BlobName]) -> None:
        """Delete these files. Safe to repeat. Unfinished copies are left to `sweep_unfinished`."""

    def ids(self, ring: str, first: UUID = FIRST, last: UUID = LAST) -> Iterator[UUID]:
        """Yield the ids of a ring's blobs from `first` to `last` (inclusive), oldest first. Skips other files."""

    def sweep_unfinished(self, before: datetime) -> int:
        """Remove unfinished writes that began before this time. Returns how many."""

    def has_room(self, size: int) -> bool:
        """Return True if the store has room for this many bytes."""


class FileStore:
    """A store below one folder. Folders have mode 0700, files 0600.

    Each subfolder contains the blobs of about five hours. Its name is the first 24 of the 48 time bits of their ids."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: BlobName, chunks: Iterable[bytes]) -> None:
        """Write the blob and sync the file to disk, so that the blob survives a power cut."""
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
            # Unfinished copies have random names. `sweep_unfinished` removes them.
            self.path(name).unlink(missing_ok=True)

    def ids(self, ring: str, first: UUID = FIRST, last: UUID = LAST) -> Iterator[UUID]:
        for folder in self._folders(ring):
            if _shard(first) <= folder.name <= _shard(last):
                ids = (uuid_or_none(path.name) for path in folder.iterdir())
                yield from sorted(blob_id for blob_id in ids if blob_id and first <= blob_id <= last)

    def sweep_unfinished(self, before: datetime) -> int:
        """Remove unfinished files of blobs created before this time, and empty folders. Returns the number of files."""
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
        """Return the folders of a ring, oldest first."""
        return sorted((self.root / ring).glob("[0-9a-f]" * _SHARD_DIGITS))


_SHARD_DIGITS = 6


def _shard(blob_id: UUID) -> str:
    return blob_id.hex[:_SHARD_DIGITS]
