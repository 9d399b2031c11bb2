"""Key rings: create, read and destroy the keys of blobs.

There are two rings of the same class. Each is in a folder (`key_folder.py`) or on a Redis (`key_server.py`), never in
the data folder. The source ring has one key per shoot, for photos and everything derived from them. Its keys should be
in memory only, and each contains its expiry. Every access to an expired key refuses and erases it, so keys expire even
if beat does not run. The result ring has one key per pack, for finished headshots. Its keys are kept until they are
destroyed.
"""

import logging
import struct
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from headshots.vault.errors import KeyGone
from headshots.vault.key_folder import KeyFolder
from headshots.vault.key_server import KeyServer, without_password
from headshots.vault.memory import is_in_memory
from headshots.vault.models import Ring
from headshots.vault.private_files import create_file_once, make_folder

log = logging.getLogger(__name__)

MAX_PHOTO_TTL = timedelta(hours=24)
# Tolerated correction of the clock. Without it, setting the clock back would invalidate new keys.
CLOCK_STEP = timedelta(minutes=5)

# The fields: magic and version, expiry in milliseconds since 1970 (0: never), key.
_RECORD = struct.Struct(">6sq32s")
_MAGIC = b"HSKEY\x01"


class KeyStore(Protocol):
    """The storage of a ring's records. All methods raise VaultUnavailable if the storage does not answer."""

    def read(self, key_id: UUID) -> bytes | None:
        """Return the record, or None if there is none. A record that another process is erasing is damaged."""

    def write_new(self, key_id: UUID, record: bytes, expires_ms: int) -> bool:
        """Write a record unless one exists. Returns True if this call wrote it. Raises UnsafeRing.

        expires_ms: expiry in milliseconds since 1970, 0 for never."""

    def destroy(self, key_ids: Iterable[UUID]) -> None:
        """Erase these records. Safe to repeat."""

    def expiries(self) -> Iterator[tuple[UUID, int]]:
        """Yield the id and expiry of every record. The expiry is in milliseconds since 1970.

        The expiry is meaningless for records that never expire."""

    def sweep_unfinished(self) -> None:
        """Remove unfinished records that a crash left behind."""

    def delete_history(self) -> None:
        """Delete what the storage still keeps of removed records."""

    def epoch(self) -> UUID:
        """Return a random id that is stored with the records. A new id means that the records were wiped."""


class KeyRing:
    """A set of keys by id. No keys are cached in memory, so several processes can use the same ring.

    max_lifetime: keys must expire within this time. None: keys are kept until they are destroyed."""

    def __init__(self, key_store: KeyStore, max_lifetime: timedelta | None = None) -> None:
        self.key_store = key_store
        self.max_lifetime = max_lifetime

    def create(self, key_id: UUID, expires_at: datetime | None = None) -> bool:
        """Create a random key unless a valid one exists. Returns True if this call created it.

        Raises UnsafeRing, VaultUnavailable, and ValueError if `expires_at` exceeds the ring's maximum lifetime."""
        if self.max_lifetime is not None and (
            expires_at is None or expires_at.timestamp() > time.time() + self.max_lifetime.total_seconds()
        ):
            raise ValueError(f"a key of this ring must expire within {self.max_lifetime}")
        expires_ms = int(expires_at.timestamp() * 1000) if expires_at else 0
        # Erase an expired key with this id, because it would block the new key.
        self.has(key_id)
        record = _RECORD.pack(_MAGIC, expires_ms, AESGCM.generate_key(bit_length=256))
        return self.key_store.write_new(key_id, record, expires_ms)

    def cipher(self, key_id: UUID) -> AESGCM:
        """Return a cipher that uses the key. An expired key is erased. Raises KeyGone, VaultUnavailable."""
        record = self.key_store.read(key_id)
        # A record with another size or magic is a key that another process is erasing right now.
        if record is None or len(record) != _RECORD.size or not record.startswith(_MAGIC):
            raise KeyGone(key_id)
        _, expires_ms, key = _RECORD.unpack(record)
        if self._is_expired(expires_ms):
            self.destroy([key_id])
            raise KeyGone(key_id)
        return AESGCM(key)

    def has(self, key_id: UUID) -> bool:
        """Return True if the key exists and has not expired. An expired key is erased."""
        try:
            self.cipher(key_id)
        except KeyGone:
            return False
        return True

    def destroy(self, key_ids: Iterable[UUID]) -> None:
        """Erase these keys. Safe to repeat."""
        self.key_store.destroy(key_ids)

    def sweep_expired(self) -> list[UUID]:
        """Erase expired keys and unfinished records. Returns the ids of the expired keys."""
        expired = [key_id for key_id, expires_ms in self.key_store.expiries() if self._is_expired(expires_ms)]
        self.destroy(expired)
        self.key_store.sweep_unfinished()
        return expired

    def key_ids(self) -> list[UUID]:
        """Return the ids of all keys, including expired ones that are not erased yet."""
        return [key_id for key_id, _ in self.key_store.expiries()]

    def next_expiry(self) -> float | None:
        """Return when the next key expires, in seconds since 1970, or None if the ring is empty.

        Only meaningful for a ring whose keys expire."""
        soonest = min((expires_ms for _, expires_ms in self.key_store.expiries()), default=None)
        return None if soonest is None else soonest / 1000

    def epoch(self) -> UUID:
        """Return a random id that is stored with the keys. A new id means that the ring was wiped."""
        return self.key_store.epoch()

    def _is_expired(self, expires_ms: int) -> bool:
        now = time.time()
        if self.max_lifetime is None:
            return expires_ms != 0 and expires_ms <= now * 1000
        # Also reject expiries too far in the future. Setting the clock back must not extend a key's lifetime, and a
        # record without an expiry must not be valid forever.
        latest = now + (self.max_lifetime + CLOCK_STEP).total_seconds()
        return not now * 1000 < expires_ms <= latest * 1000


def open_ring(ring: str) -> KeyRing:
    """Open this installation's ring with this name, "source" or "result". Raises UnsafeRing."""
    kind = Ring(ring)
    max_lifetime = MAX_PHOTO_TTL if kind is Ring.SOURCE else None
    if url := ring_url(kind):
        return KeyRing(KeyServer(url, kind.value, volatile=kind is Ring.SOURCE), max_lifetime)
    folder = ring_folder(kind)
    if kind is Ring.SOURCE:
        _warn_of_disk(folder)
    return KeyRing(KeyFolder(folder), max_lifetime)


def ring_url(ring: Ring) -> str:
    """Return the URL of the ring's Redis from the settings. Empty if the ring is in a folder."""
    url: str = settings.HEADSHOTS_PHOTO_KEYS_URL if ring is Ring.SOURCE else settings.HEADSHOTS_HEADSHOT_KEYS_URL
    return url


def ring_folder(ring: Ring) -> Path:
    """Return the folder of the ring's keys. Its name is the id of the data folder, so each data folder has its own."""
    return ring_base(ring) / data_id(settings.HEADSHOTS_DATA_DIR)


def ring_base(ring: Ring) -> Path:
    """Return the parent of the ring's folder, from the settings."""
    base: Path = settings.HEADSHOTS_PHOTO_KEYS_DIR if ring is Ring.SOURCE else settings.HEADSHOTS_HEADSHOT_KEYS_DIR
    return base


def describe_location(ring: Ring) -> str:
    """Return the location of the ring for people to read: a folder, or the URL of a Redis without its password."""
    return without_password(ring_url(ring)) if ring_url(ring) else str(ring_base(ring))


def source_keys_are_in_memory() -> bool:
    """Return True if the keys of photos are known to be in memory only."""
    # A Redis that writes keys to disk is refused when a key is created.
    return bool(ring_url(Ring.SOURCE)) or is_in_memory(ring_base(Ring.SOURCE))


@cache
def _warn_of_disk(folder: Path) -> None:
    # Log this once per process. A system check gives the same warning, but workers show no results of system checks.
    if not is_in_memory(folder):
        log.warning("THE PHOTO KEY RING MAY BE ON A DISK, which can keep keys that were erased")


def data_id(data_folder: Path) -> str:
    """Return the id of a data folder from its file `id`. Creates the file on the first call.

    Safe to call from several processes at once."""
    path = data_folder / "id"
    if not path.exists():
        make_folder(data_folder)
        create_file_once(path, f"{uuid4()}\n".encode())
    # Parse the content as a UUID, so that a manipulated file cannot name another folder.
    return str(UUID(path.read_text(encoding="ascii").strip()))
