"""Read and write private files of this user. Each file is written completely or not at all."""

import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from headshots.vault.errors import UnsafeRing

TEMPORARY = ".tmp"


def make_folder(folder: Path) -> None:
    """Create the folder and its missing parents with mode 0700. Existing folders are not changed."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    # Another process may have created the folder in the meantime.
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)


def unsafe_reason(folder: Path) -> str | None:
    """Return why keys must not be stored in this existing folder, or None if the folder is safe.

    The folder must belong to this user, must not be a link, and must give other users no rights. Other users must not
    be able to replace the folder, which matters below /dev/shm and /tmp.
    """
    info, parent = folder.lstat(), folder.parent.stat()
    if not stat.S_ISDIR(info.st_mode):
        return "it is not a folder"
    if info.st_uid != os.geteuid():
        return "it belongs to another user"
    if stat.S_IMODE(info.st_mode) & 0o077:
        return "other users can access it (run chmod 700)"
    if parent.st_uid not in (0, os.geteuid()):
        return "its parent folder belongs to another user"
    if parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX:
        return "anyone can replace it, because anyone can write to its parent folder"
    return None


def make_key_folder(folder: Path) -> None:
    """Create a private folder for keys. Raises UnsafeRing if other users can access or replace the folder."""
    make_folder(folder)
    if reason := unsafe_reason(folder):
        raise UnsafeRing(str(folder), reason)


def write_new_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Create a file with mode 0600 and sync it to disk. Raises FileExistsError if the file exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def create_file_once(path: Path, content: bytes, changed_at: float | None = None) -> bool:
    """Create the file with this content, completely or not at all. Returns True if this call created it.

    If several processes call this at once, only one succeeds. An existing file is never changed.
    changed_at: the modification time to set, in seconds since 1970. By default, the actual time.
    """
    temporary = temporary_beside(path)
    try:
        write_new_file(temporary, [content])
        if changed_at is not None:
            os.utime(temporary, (changed_at, changed_at))
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def temporary_beside(path: Path) -> Path:
    """Return a new temporary path in the same folder. Its name starts with the file's name, which sweeps rely on."""
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}{TEMPORARY}")


def overwrite_and_delete(path: Path) -> bool:
    """Overwrite a small file with zeros and remove it. Returns True if the file existed.

    A disk can still keep the old sectors. Hard links and open handles to the file only show zeros.
    """
    try:
        with path.open("r+b") as file:
            file.write(bytes(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Sync the folder's entries to disk, so that renames and removals survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def uuid_or_none(name: str) -> UUID | None:
    """Return the UUID that this file name spells, or None if the name is not a UUID."""
    with suppress(ValueError):
        return UUID(name)
    return None
