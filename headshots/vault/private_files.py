"""Read and write files that only this user can read, whole or not at all."""

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
    """Make the folder and its missing parents, each with mode 0700; an existing one stays as it is."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    # Another process may have been faster.
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)


def unsafe_reason(folder: Path) -> str | None:
    """Why keys must not lie in this existing folder, or None if they may.

    It has to be a real folder of this user with no rights for others, in a place where nobody else
    can put another in its stead (anyone may make names below /dev/shm and /tmp).
    """
    info, parent = folder.lstat(), folder.parent.stat()
    if not stat.S_ISDIR(info.st_mode):
        return "it is not a folder"
    if info.st_uid != os.geteuid():
        return "it belongs to another user"
    if stat.S_IMODE(info.st_mode) & 0o077:
        return "other users have rights in it; chmod 700 takes them away"
    if parent.st_uid not in (0, os.geteuid()):
        return "the folder above it belongs to another user"
    if parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX:
        return "anyone can replace it, since the folder above it is open to all"
    return None


def make_key_folder(folder: Path) -> None:
    """Make a folder for keys, private to this user. Raises UnsafeRing if it, or the one above, is not."""
    make_folder(folder)
    if reason := unsafe_reason(folder):
        raise UnsafeRing(str(folder), reason)


def write_new_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that must not exist yet (mode 0600) through to the disk. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def create_file_once(path: Path, content: bytes, changed_at: float | None = None) -> bool:
    """Create the file with this content, whole or not at all; whether this call did it.

    Of several callers at once one succeeds; an existing file is never changed. `changed_at` is what the file says
    of its last change, in seconds since 1970; without it, the truth.
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
    """Return a new name in the same folder that starts with the file's own, so that sweeps know what it is of."""
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}{TEMPORARY}")


def overwrite_and_delete(path: Path) -> bool:
    """Overwrite a small file with zeros and remove it; whether it was there.

    A disk may keep the old sector all the same, but a hard link or an open handle to this file is blank.
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
    """Write the folder's names through to the disk, so that a rename or removal survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def uuid_or_none(name: str) -> UUID | None:
    """The id that a file name spells, None for a file that is not ours."""
    with suppress(ValueError):
        return UUID(name)
    return None
