"""Errors of the vault. Messages carry ids only, never keys or contents.

VaultError
├── KeyGone            the key was destroyed, has expired or never existed: its blobs can't be decrypted
├── BlobMissing        the blob has a row but no file
├── BlobCorrupt        the file is not what was written: changed, cut short, or the file of another blob
├── UnsafeRing         keys must not be stored there: others can access the folder, or the server is configured wrongly
└── VaultUnavailable   the ring or the store does not answer: nothing is lost, try again later
"""

from uuid import UUID


class VaultError(Exception):
    """The base class of all errors that the vault raises on purpose."""


class KeyGone(VaultError):
    """The key was destroyed, has expired or never existed."""

    def __init__(self, key_id: UUID) -> None:
        super().__init__(f"key {key_id} no longer exists")
        self.key_id = key_id


class BlobMissing(VaultError):
    """The file of this blob does not exist."""

    def __init__(self, blob_id: UUID) -> None:
        super().__init__(f"the file of blob {blob_id} is missing")
        self.blob_id = blob_id


class BlobCorrupt(VaultError):
    """The file of this blob failed verification."""

    def __init__(self, blob_id: UUID, what: str) -> None:
        super().__init__(f"blob {blob_id} is corrupt: {what}")
        self.blob_id = blob_id


class UnsafeRing(VaultError):
    """Keys must not be stored in this place."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"keys must not be stored in {place}: {why}")


class VaultUnavailable(VaultError):
    """The ring or the store does not answer. Nothing is lost, and the call can be repeated later."""
