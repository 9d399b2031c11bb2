"""Everything the vault raises on purpose. Texts carry ids only, never keys or contents.

VaultError
├── KeyGone        the key was destroyed, has expired or never was: what it sealed is noise
├── BlobMissing    the row is there, the file is not
├── BlobCorrupt    the file is not what was written: changed, cut short, or another blob's
└── UnsafeFolder   a folder for keys is not private to this user
"""

from pathlib import Path
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


class UnsafeFolder(VaultError):
    """A folder for keys is not private to this user."""

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"keys must not lie in {folder}: {why}")
        self.folder = folder
