"""Store a key ring in a folder, with one small private file per key."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

from headshots.vault.private_files import (
    TEMPORARY,
    create_file_once,
    make_key_folder,
    overwrite_and_delete,
    sync_folder,
    uuid_or_none,
)

# An unfinished key file older than this was left by a crash.
UNFINISHED_SECONDS = 60
_SUFFIX = ".key"


class KeyFolder:
    """A key store in a folder, see `KeyStore`. Raises UnsafeRing if other users can access the folder.

    The modification time of a file is the expiry of its key. A sweep therefore only reads names and times.
    On access, the expiry in the record decides."""

    def __init__(self, folder: Path) -> None:
        make_key_folder(folder)
        self.folder = folder

    def read(self, key_id: UUID) -> bytes | None:
        try:
            return self._path(key_id).read_bytes()
        except FileNotFoundError:
            return None

    def write_new(self, key_id: UUID, record: bytes, expires_ms: int) -> bool:
        return create_file_once(self._path(key_id), record, changed_at=expires_ms / 1000 if expires_ms else None)

    def destroy(self, key_ids: Iterable[UUID]) -> None:
        # A temporary name left by a crash is a hard link to the same file. Its content is erased too, and the sweep
        # removes the name.
        erased = [overwrite_and_delete(self._path(key_id)) for key_id in key_ids]
        if any(erased):
            sync_folder(self.folder)

    def expiries(self) -> Iterator[tuple[UUID, int]]:
        with os.scandir(self.folder) as entries:
            for entry in entries:
                name, suffix = os.path.splitext(entry.name)  # noqa: PTH122 (creating a Path per entry is slower)
                key_id = uuid_or_none(name) if suffix == _SUFFIX else None
                if key_id:
                    with suppress(FileNotFoundError):
                        yield key_id, entry.stat().st_mtime_ns // 1_000_000

    def sweep_unfinished(self) -> None:
        for path in self.folder.glob(f"*{TEMPORARY}"):
            with suppress(FileNotFoundError):
                if path.stat().st_ctime < time.time() - UNFINISHED_SECONDS:
                    # Do not overwrite the file: the name can be a hard link to a valid key.
                    path.unlink()

    def delete_history(self) -> None:
        """Do nothing: a folder keeps no history."""

    def epoch(self) -> UUID:
        path = self.folder / "epoch"
        if not path.exists():
            create_file_once(path, f"{uuid4()}\n".encode())
        return UUID(path.read_text(encoding="ascii").strip())

    def _path(self, key_id: UUID) -> Path:
        return self.folder / f"{key_id}{_SUFFIX}"
