"""Find out which folders are in memory only, and whether memory can be swapped to a disk."""

import os
import stat
import sys
from pathlib import Path


def is_in_memory(path: Path) -> bool:
    """Return True if the path is, or would be, on a tmpfs or ramfs. Returns False if the system does not say."""
    return filesystem_type(path) in {"tmpfs", "ramfs"}


def filesystem_type(path: Path) -> str | None:
    """Return the type of the path's filesystem, or None if the system does not say. The path need not exist."""
    if sys.platform != "linux":
        return None
    path = path.resolve()
    kind, depth = None, 0
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _, mounted_at, mounted_kind, *_ = line.split(" ")
        # The kernel escapes spaces and similar characters as octal numbers.
        mount = Path(mounted_at.encode("latin-1", "replace").decode("unicode_escape"))
        # A later mount on the same folder hides the earlier one.
        if path.is_relative_to(mount) and len(mount.parts) >= depth:
            kind, depth = mounted_kind, len(mount.parts)
    return kind


def unencrypted_swap(table: Path = Path("/proc/swaps"), devices: Path = Path("/sys/dev/block")) -> list[str]:
    """Return the swap devices and files where keys and pictures in memory could reach a disk unencrypted.

    Excludes compressed memory (zram) and dm-crypt devices, even below several layers of devices.
    Returns an empty list if the system does not say. macOS encrypts its swap."""
    return [place for place in swap_places(table) if not _is_memory_or_encrypted(Path(place), devices)]


def swap_places(table: Path = Path("/proc/swaps")) -> list[str]:
    """Return the devices and files of the swap. Empty if there is no swap, or if the system does not say."""
    if not table.exists():
        return []
    lines = [line for line in table.read_text(encoding="utf-8").splitlines()[1:] if line.strip()]
    # The kernel escapes spaces and similar characters as octal numbers.
    return [line.split()[0].encode("latin-1", "replace").decode("unicode_escape") for line in lines]


def _is_memory_or_encrypted(place: Path, devices: Path) -> bool:
    """Return True if this swap device or file is in memory, or on an encrypted device."""
    if place.name.startswith("zram"):
        return True
    try:
        info = place.stat()
    except OSError:
        return False
    number = info.st_rdev if stat.S_ISBLK(info.st_mode) else info.st_dev
    return _is_encrypted(devices / f"{os.major(number)}:{os.minor(number)}")


def _is_encrypted(device: Path) -> bool:
    try:
        if (device / "dm" / "uuid").read_text().startswith("CRYPT-"):
            return True
    except OSError:
        pass
    slaves = list((device / "slaves").glob("*"))
    return bool(slaves) and all(_is_encrypted(slave) for slave in slaves)
