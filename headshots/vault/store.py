"""Blobs as files: ciphertext only, also while they are being written."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

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
class StoredFile:
    """A file in the store: `blob_id` is None for one that a crash left unfinished. Seconds since 1970."""

    path: Path
    blob_id: UUID | None
    modified: float


class FileStore:
    """Blobs below one folder, sharded by the first two digits of their ids; folders 0700, files 0600."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, blob_id: UUID, chunks: Iterable[bytes]) -> None:
        """Store the (encrypted) chunks through to the disk, whole or not at all."""
        path = self._path(blob_id)
        make_folder(path.parent)
        temporary = temporary_beside(path)
        try:
            write_new_file(temporary, chunks)
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)

    def open(self, blob_id: UUID) -> BinaryIO:
        """The file, open for reading. Raises BlobMissing."""
        try:
            return self._path(blob_id).open("rb")
        except FileNotFoundError:
            raise BlobMissing(blob_id) from None

    def has(self, blob_id: UUID) -> bool:
        return self._path(blob_id).exists()

    def delete(self, blob_id: UUID) -> bool:
        """Remove the file, and any unfinished copy of it; whether there was one. Safe to repeat."""
        path = self._path(blob_id)
        removed = False
        for found in path.parent.glob(f"{path.name}*"):
            found.unlink(missing_ok=True)
            removed = True
        return removed

    def files(self) -> Iterator[StoredFile]:
        """Every blob and every unfinished one below the root, in no order; files of others are passed over."""
        for path in self.root.glob("??/*"):
            try:
                modified = path.stat().st_mtime
            except FileNotFoundError:
                continue
            blob_id, unfinished = uuid_or_none(path.name), path.name.endswith(TEMPORARY)
            if blob_id or unfinished:
                yield StoredFile(path, blob_id, modified)

    def _path(self, blob_id: UUID) -> Path:
        return self.root / blob_id.hex[:2] / str(blob_id)
