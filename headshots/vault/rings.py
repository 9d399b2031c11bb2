"""Key rings: where the keys of blobs live and die.

A ring is a folder with one small file a key, outside the data folder. There are two of one class.
The source ring's keys (one a shoot: photos and all that derives from them) lie in memory and carry their own
expiry; an expired key is refused and erased by whoever asks for it, so it dies even where no beat runs.
The result ring's keys (one a pack: finished headshots) stay until they are destroyed.
"""

import logging
import struct
import time
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import models

from headshots.vault.errors import KeyGone
from headshots.vault.memory import is_in_memory
from headshots.vault.private_files import (
    TEMPORARY,
    create_file_once,
    erase_file,
    make_folder,
    make_key_folder,
    sync_folder,
    uuid_or_none,
)

log = logging.getLogger(__name__)

MAX_SOURCE_TTL = timedelta(hours=24)
# A clock may be corrected by this much without killing a fresh key.
CLOCK_STEP = timedelta(minutes=5)
# An unfinished key file older than this was left by a crash.
UNFINISHED_SECONDS = 60

# Magic and version, expiry in milliseconds since 1970 (0: never), key.
_RECORD = struct.Struct(">6sq32s")
_MAGIC = b"HSKEY\x01"
_SUFFIX = ".key"


class Ring(models.TextChoices):
    """Which ring a key is on."""

    SOURCE = "source"
    RESULT = "result"


class KeyRing:
    """Keys as files in a folder that is private to this user. Holds nothing in memory: any process may use it.

    `max_life`: keys must expire, and no further ahead than this; without it they live until destroyed.
    Raises UnsafeFolder if others can reach the folder.
    """

    def __init__(self, folder: Path, max_life: timedelta | None = None) -> None:
        make_key_folder(folder)
        self.folder = folder
        self.max_life = max_life

    def create(self, key_id: UUID, expires_at: datetime | None = None) -> bool:
        """Make a new random key; whether this call made it. A key that is there is never replaced."""
        if self.max_life is not None:
            if expires_at is None or expires_at.timestamp() > time.time() + self.max_life.total_seconds():
                raise ValueError(f"a key of this ring must expire within {self.max_life}")
            self.sweep_expired()
        expires_ms = int(expires_at.timestamp() * 1000) if expires_at else 0
        record = _RECORD.pack(_MAGIC, expires_ms, AESGCM.generate_key(bit_length=256))
        return create_file_once(self._path(key_id), record)

    def cipher(self, key_id: UUID) -> AESGCM:
        """The key, ready to encrypt and decrypt; its bytes never leave the ring. Raises KeyGone."""
        try:
            record = self._path(key_id).read_bytes()
        except FileNotFoundError:
            raise KeyGone(key_id) from None
        # A record of another size or magic is a key that somebody is erasing at this moment.
        if len(record) != _RECORD.size or not record.startswith(_MAGIC):
            raise KeyGone(key_id)
        _, expires_ms, key = _RECORD.unpack(record)
        if self._is_dead(expires_ms):
            self.destroy(key_id)
            raise KeyGone(key_id)
        return AESGCM(key)

    def has(self, key_id: UUID) -> bool:
        """Whether the key lives; an expired one is erased and counts as gone."""
        try:
            self.cipher(key_id)
        except KeyGone:
            return False
        return True

    def destroy(self, key_id: UUID) -> bool:
        """Erase the key, and any unfinished copy that a crash left; whether there was one. Safe to repeat."""
        erased = [erase_file(path) for path in self.folder.glob(f"{key_id}{_SUFFIX}*")]
        if erased:
            sync_folder(self.folder)
        return any(erased)

    def sweep_expired(self) -> int:
        """Erase expired keys and what a crash left unfinished; how many keys were erased."""
        dead = [key_id for key_id in self.key_ids() if not self.has(key_id)]
        for key_id in dead:
            self.destroy(key_id)
        for path in self.folder.glob(f"*{TEMPORARY}"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - UNFINISHED_SECONDS:
                    # Not blanked: it may be a second name of a living key.
                    path.unlink()
        return len(dead)

    def key_ids(self) -> list[UUID]:
        """Ids of all keys that lie in the folder, dead or alive."""
        return [key_id for path in self.folder.glob(f"*{_SUFFIX}") if (key_id := uuid_or_none(path.stem))]

    def _path(self, key_id: UUID) -> Path:
        return self.folder / f"{key_id}{_SUFFIX}"

    def _is_dead(self, expires_ms: int) -> bool:
        now = time.time()
        if self.max_life is None:
            return expires_ms != 0 and expires_ms <= now * 1000
        # The upper bound: a clock that was set back must not lengthen a life, nor a record without expiry be immortal.
        latest = now + (self.max_life + CLOCK_STEP).total_seconds()
        return not now * 1000 < expires_ms <= latest * 1000


def open_ring(ring: str) -> KeyRing:
    """The ring of this name ("source" or "result") of this installation's data folder."""
    folder = ring_folder(Ring(ring))
    if ring == Ring.RESULT:
        return KeyRing(folder)
    _warn_of_disk(folder)
    return KeyRing(folder, max_life=MAX_SOURCE_TTL)


def ring_folder(ring: Ring) -> Path:
    """Where the ring's keys lie. Each data folder has its own, named by the id that is stored in it."""
    return ring_base(ring) / data_id(settings.HEADSHOTS_DATA_DIR)


def ring_base(ring: Ring) -> Path:
    """The folder above the ring's, from the settings."""
    base: Path = settings.HEADSHOTS_SOURCE_RING_DIR if ring is Ring.SOURCE else settings.HEADSHOTS_RESULT_RING_DIR
    return base


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
