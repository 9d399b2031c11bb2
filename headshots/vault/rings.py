"""Key rings: create, read and destroy the keys of blobs.

There are two of one class, each in a folder (`key_folder.py`) or on a Redis (`key_server.py`), never in the data
folder. The source ring's keys (one a shoot: photos and all that derives from them) lie in memory and carry their own
expiry; an expired key is refused and erased by whoever asks for it, so it dies even where no beat runs.
The result ring's keys (one a pack: finished headshots) stay until they are destroyed.
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
# A clock may be corrected by this much without killing a fresh key.
CLOCK_STEP = timedelta(minutes=5)

# Magic and version, expiry in milliseconds since 1970 (0: never), key.
_RECORD = struct.Struct(">6sq32s")
_MAGIC = b"HSKEY\x01"


class KeyStore(Protocol):
    """Where the records of a ring lie. Raises VaultUnavailable where it does not answer."""

    def read(self, key_id: UUID) -> bytes | None:
        """The record, or what is left of it; None when there is none."""

    def write_new(self, key_id: UUID, record: bytes, expires_ms: int) -> bool:
        """Put a record there unless there is one; whether this call did it. Raises UnsafeRing."""

    def destroy(self, key_ids: Iterable[UUID]) -> None:
        """Erase these records. Safe to repeat."""

    def expiries(self) -> Iterator[tuple[UUID, int]]:
        """Of every record its id and when it expires, in milliseconds since 1970 (meaningless if it never does)."""

    def sweep_unfinished(self) -> None:
        """Remove what a crash left unfinished."""

    def delete_history(self) -> None:
        """Delete what the store still keeps of removed records."""

    def epoch(self) -> UUID:
        """Return a random id that is stored with the records. A new id means that they were wiped."""


class KeyRing:
    """Keys by id. Holds none in memory: any process may use it.

    `max_lifetime`: keys must expire, and no further ahead than this; without it they live until destroyed."""

    def __init__(self, key_store: KeyStore, max_lifetime: timedelta | None = None) -> None:
        self.key_store = key_store
        self.max_lifetime = max_lifetime

    def create(self, key_id: UUID, expires_at: datetime | None = None) -> bool:
        """Make a new random key; whether this call made it. A living key is never replaced. Raises UnsafeRing."""
        if self.max_lifetime is not None and (
            expires_at is None or expires_at.timestamp() > time.time() + self.max_lifetime.total_seconds()
        ):
            raise ValueError(f"a key of this ring must expire within {self.max_lifetime}")
        expires_ms = int(expires_at.timestamp() * 1000) if expires_at else 0
        # A dead one under this id would stand in the way.
        self.has(key_id)
        record = _RECORD.pack(_MAGIC, expires_ms, AESGCM.generate_key(bit_length=256))
        return self.key_store.write_new(key_id, record, expires_ms)

    def cipher(self, key_id: UUID) -> AESGCM:
        """The key, ready to encrypt and decrypt; its bytes never leave the ring. Raises KeyGone."""
        record = self.key_store.read(key_id)
        # A record of another size or magic is a key that somebody is erasing at this moment.
        if record is None or len(record) != _RECORD.size or not record.startswith(_MAGIC):
            raise KeyGone(key_id)
        _, expires_ms, key = _RECORD.unpack(record)
        if self._is_expired(expires_ms):
            self.destroy([key_id])
            raise KeyGone(key_id)
        return AESGCM(key)

    def has(self, key_id: UUID) -> bool:
        """Whether the key lives; an expired one is erased and counts as gone."""
        try:
            self.cipher(key_id)
        except KeyGone:
            return False
        return True

    def destroy(self, key_ids: Iterable[UUID]) -> None:
        """Erase these keys. Safe to repeat."""
        self.key_store.destroy(key_ids)

    def sweep_expired(self) -> list[UUID]:
        """Erase expired keys and what a crash left unfinished; the ids of those that were erased."""
        expired = [key_id for key_id, expires_ms in self.key_store.expiries() if self._is_expired(expires_ms)]
        self.destroy(expired)
        self.key_store.sweep_unfinished()
        return expired

    def key_ids(self) -> list[UUID]:
        """Ids of all keys that are there, dead or alive."""
        return [key_id for key_id, _ in self.key_store.expiries()]

    def next_expiry(self) -> float | None:
        """When the next key expires, in seconds since 1970; None for an empty ring. For a ring whose keys expire."""
        soonest = min((expires_ms for _, expires_ms in self.key_store.expiries()), default=None)
        return None if soonest is None else soonest / 1000

    def epoch(self) -> UUID:
        """Return a random id that is stored with the keys. A new id means that the ring was wiped."""
        return self.key_store.epoch()

    def _is_expired(self, expires_ms: int) -> bool:
        now = time.time()
        if self.max_lifetime is None:
            return expires_ms != 0 and expires_ms <= now * 1000
        # The upper bound: a clock that was set back must not lengthen a life, nor a record without expiry be immortal.
        latest = now + (self.max_lifetime + CLOCK_STEP).total_seconds()
        return not now * 1000 < expires_ms <= latest * 1000


def open_ring(ring: str) -> KeyRing:
    """The ring of this name ("source" or "result") of this installation. Raises UnsafeRing."""
    kind = Ring(ring)
    max_lifetime = MAX_PHOTO_TTL if kind is Ring.SOURCE else None
    if url := ring_url(kind):
        return KeyRing(KeyServer(url, kind.value, volatile=kind is Ring.SOURCE), max_lifetime)
    folder = ring_folder(kind)
    if kind is Ring.SOURCE:
        _warn_of_disk(folder)
    return KeyRing(KeyFolder(folder), max_lifetime)


def ring_url(ring: Ring) -> str:
    """The Redis on which the ring lies, from the settings; empty for one in a folder."""
    url: str = settings.HEADSHOTS_PHOTO_KEYS_URL if ring is Ring.SOURCE else settings.HEADSHOTS_HEADSHOT_KEYS_URL
    return url


def ring_folder(ring: Ring) -> Path:
    """Where the ring's keys lie. Each data folder has its own, named by the id that is stored in it."""
    return ring_base(ring) / data_id(settings.HEADSHOTS_DATA_DIR)


def ring_base(ring: Ring) -> Path:
    """The folder above the ring's, from the settings."""
    base: Path = settings.HEADSHOTS_PHOTO_KEYS_DIR if ring is Ring.SOURCE else settings.HEADSHOTS_HEADSHOT_KEYS_DIR
    return base


def describe_location(ring: Ring) -> str:
    """Where the ring lies, for people to read: a folder, or a Redis without its password."""
    return without_password(ring_url(ring)) if ring_url(ring) else str(ring_base(ring))


def source_keys_are_in_memory() -> bool:
    """Whether the keys of photos are known to lie in memory only."""
    # A Redis is refused where it keeps anything.
    return bool(ring_url(Ring.SOURCE)) or is_in_memory(ring_base(Ring.SOURCE))


@cache
def _warn_of_disk(folder: Path) -> None:
    # Once a process, in its log: a system check says the same, but workers run no checks.
    if not is_in_memory(folder):
        log.warning("THE SOURCE KEY RING IS NOT KNOWN TO BE IN MEMORY: a disk can keep keys that were erased")


def data_id(data_folder: Path) -> str:
    """The id of a data folder, kept in its file `id`; the first who asks makes it, also when many ask at once."""
    path = data_folder / "id"
    if not path.exists():
        make_folder(data_folder)
        create_file_once(path, f"{uuid4()}\n".encode())
    # Through UUID, so that whatever stands in the file cannot name another folder.
    return str(UUID(path.read_text(encoding="ascii").strip()))
