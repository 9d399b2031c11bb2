"""Stream ZIP files, with the size and CRC-32 of each member before its bytes.

Some readers process a ZIP as a stream (Java's ZipInputStream, funzip, stream-unzip). They cannot find the end of a
stored member whose size follows its bytes. Members are not compressed, because pictures would not get smaller. The
structures follow PKWARE's APPNOTE 6.3, with ZIP64 where a number needs it.
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

# Numbers that do not fit into 4 or 2 bytes need ZIP64 fields.
LIMIT_32, LIMIT_16 = 0xFFFFFFFF, 0xFFFF

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_END_64_AT = struct.Struct("<4sLQL")
_PLAIN_VERSION, _ZIP64_VERSION, _UNIX = 20, 45, 3 << 8
_UTF8_NAME = 1 << 11
# Unix mode: a regular file that its owner may read and write.
_ATTRIBUTES = 0o100600 << 16


@dataclass(frozen=True)
class Member:
    """One file of a ZIP.

    chunks: returns the bytes in pieces. They must match `size` (bytes) and `crc` (CRC-32)."""

    name: str
    size: int
    crc: int
    chunks: Callable[[], Iterable[bytes]] = field(repr=False)


def member_of(name: str, data: bytes) -> Member:
    """Return a member for bytes in memory."""
    return Member(name, len(data), zlib.crc32(data), lambda: [data])


def zip_length(members: Sequence[Member]) -> int:
    """Return the length of the ZIP of these members in bytes."""
    writer = ZipWriter()
    for member in members:
        writer.begin(member)
    return writer.position + len(writer.end())


def stream_zip(members: Sequence[Member]) -> Iterator[bytes]:
    """Yield the ZIP of these members in pieces. Each member is read only when its turn comes."""
    writer = ZipWriter()
    for member in members:
        yield from writer.add(member)
    yield writer.end()


class ZipWriter:
    """A writer of a ZIP, member by member: call `add` for each, then `end`.

    position: number of bytes written so far."""

    def __init__(self) -> None:
        self.position = 0
        self._directory: list[bytes] = []
        now = datetime.now()  # noqa: DTZ005 (a ZIP's times are local and name no zone)
        self._time = now.hour << 11 | now.minute << 5 | now.second // 2
        self._date = (now.year - 1980) << 9 | now.month << 5 | now.day

    def add(self, member: Member) -> Iterator[bytes]:
        """Yield the member's header and bytes."""
        yield self.begin(member)
        yield from member.chunks()

    def begin(self, member: Member) -> bytes:
        """Return the member's header. The caller must write the member's bytes next."""
        name = member.name.encode()
        flags = 0 if member.name.isascii() else _UTF8_NAME
        extra = _zip64_extra(member.size, member.size) if member.size >= LIMIT_32 else b""
        version = _ZIP64_VERSION if extra else _PLAIN_VERSION
        size = LIMIT_32 if extra else member.size
        header = _LOCAL.pack(
            b"PK\3\4", version, flags, 0, self._time, self._date, member.crc, size, size, len(name), len(extra)
        )
        self._directory.append(self._entry(member, name, flags))
        self.position += len(header) + len(name) + len(extra) + member.size
        return header + name + extra

    def end(self) -> bytes:
        """Return the central directory and the end record, which complete the ZIP."""
        directory, count, start = b"".join(self._directory), len(self._directory), self.position
        ends = b""
        if max(start, len(directory)) >= LIMIT_32 or count >= LIMIT_16:
            ends += _END_64.pack(
                b"PK\6\6", _END_64.size - 12, _UNIX | _ZIP64_VERSION, _ZIP64_VERSION, 0, 0, count, count,
                len(directory), start,
            )  # fmt: skip
            ends += _END_64_AT.pack(b"PK\6\7", 0, start + len(directory), 1)
        short = min(count, LIMIT_16)
        ends += _END.pack(
            b"PK\5\6", 0, 0, short, short, min(len(directory), LIMIT_32), min(start, LIMIT_32), 0
        )  # fmt: skip
        return directory + ends

    def _entry(self, member: Member, name: bytes, flags: int) -> bytes:
        """Return the directory entry of a member that begins at the current position."""
        large = [number for number in (member.size, member.size, self.position) if number >= LIMIT_32]
        extra = _zip64_extra(*large) if large else b""
        version = _ZIP64_VERSION if large else _PLAIN_VERSION
        size, position = min(member.size, LIMIT_32), min(self.position, LIMIT_32)
        entry = _CENTRAL.pack(
            b"PK\1\2", _UNIX | version, version, flags, 0, self._time, self._date, member.crc, size, size,
            len(name), len(extra), 0, 0, 0, _ATTRIBUTES, position,
        )  # fmt: skip
        return entry + name + extra


def _zip64_extra(*numbers: int) -> bytes:
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers)
