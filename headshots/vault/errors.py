"""Errors of the vault. Messages carry ids only, never keys or contents.

VaultError
├── KeyGone        the key was destroyed, has expired or never was: what it sealed is noise
├── BlobMissing    the row is there, the file is not
├── BlobCorrupt    the file is not what was written: changed, cut short, or another blob's
├── UnsafeRing     keys must not lie there: others can reach the folder, or a server keeps or drops what it must not
└── VaultUnavailable   the ring or the store does not answer now: nothing is lost, try again later
"""

from uuid import UUID


class VaultError(Exception):
    """Base of everything the vault raises on purpose."""


class KeyGone(VaultError):
    """The key was destroyed, has expired or never was."""

    def __init__(self, key_id: UUID) -> None:
        super().__init__(f"the key {key_id} is gone")
        self.key_id = key_id


class BlobMissing(VaultError):
    """The file of this blob is not there."""

    def __init__(self, blob_id: UUID) -> None:
        super().__init__(f"the file of blob {blob_id} is missing")
        self.blob_id = blob_id


class BlobCorrupt(VaultError):
    """The file of this blob does not verify."""

    def __init__(self, blob_id: UUID, what: str) -> None:
        super().__init__(f"blob {blob_id} does not verify: {what}")
        self.blob_id = blob_id


class UnsafeRing(VaultError):
    """Keys must not lie there."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"keys must not lie in {place}: {why}")


class VaultUnavailable(VaultError):
    """The ring or the store does not answer now. Nothing is lost: the same may be asked again later."""
