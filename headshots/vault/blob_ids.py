"""Ids of blobs: UUIDs of version 7 (RFC 9562), which sort by creation time."""

import secrets
import time
from datetime import UTC, datetime
from uuid import UUID

FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)


def new_blob_id() -> UUID:
    """Return a new id: 48 bits of milliseconds since 1970, then random bits."""
    return _with_time(int(time.time() * 1000), secrets.randbits(80))


def first_id_at(moment: datetime) -> UUID:
    """Return the smallest id of this millisecond. Every id created in an earlier millisecond is smaller."""
    return _with_time(int(moment.timestamp() * 1000), 0)


def created_at_of(blob_id: UUID) -> datetime:
    """Return when an id was created, to the millisecond."""
    return datetime.fromtimestamp((blob_id.int >> 80) / 1000, UTC)


def _with_time(milliseconds: int, rest: int) -> UUID:
    value = milliseconds << 80 | rest
    # Version 7 in bits 76 to 79, variant 10 in bits 62 and 63.
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)
