"""A strict reader of ZIPs as a stream: it sees local headers only and goes forward only."""

import struct
import zlib


def read_forward(data: bytes) -> dict[str, bytes]:
    """Return the members by name. Raises ValueError where a reader of a stream cannot go on."""
    members: dict[str, bytes] = {}
    position = 0
    while data[position : position + 4] == b"PK\3\4":
        _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = struct.unpack(
            "<5H3L2H", data[position + 4 : position + 30]
        )
        if flags & 8 and method == 0:
            raise ValueError("only DEFLATED entries can have EXT descriptor")
        start = position + 30 + name_bytes + extra_bytes
        name = data[position + 30 : position + 30 + name_bytes].decode()
        if size == 0xFFFFFFFF:
            size, packed = struct.unpack("<2Q", data[start - extra_bytes + 4 : start - extra_bytes + 20])
        content = data[start : start + packed]
        if not (method == 0 and packed == size == len(content) and zlib.crc32(content) == crc):
            raise ValueError(f"{name} is damaged")
        members[name] = content
        position = start + packed
    if data[position : position + 4] not in (b"PK\1\2", b"PK\5\6", b"PK\6\6"):
        raise ValueError("the directory does not follow the last member")
    return members
