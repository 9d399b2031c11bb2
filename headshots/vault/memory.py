"""Which folders lie in memory and on no disk."""

import sys
from pathlib import Path


def is_in_memory(path: Path) -> bool:
    """Whether the path is, or would be, on a tmpfs; False where the system does not say."""
    return filesystem_type(path) in {"tmpfs", "ramfs"}


def filesystem_type(path: Path) -> str | None:
    """Type of the filesystem that the path is, or would be, on; None where the system does not say."""
    if sys.platform != "linux":
        return None
    path = path.resolve()
    kind, depth = None, 0
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _, mounted_at, mounted_kind, *_ = line.split(" ")
        # The kernel writes blanks and such as octal numbers.
        mount = Path(mounted_at.encode("latin-1", "replace").decode("unicode_escape"))
        # A later mount on the same place hides the earlier one.
        if path.is_relative_to(mount) and len(mount.parts) >= depth:
            kind, depth = mounted_kind, len(mount.parts)
    return kind
