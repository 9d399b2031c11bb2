"""Detect damage that decoders ignore: truncated, overwritten or zeroed files. Pure functions.

Many decoders fill the gaps in a damaged file without an error. Each check tests a property that all intact files of the
format have.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

# Maximum number of scans in a JPEG. Cameras and encoders write at most about a dozen.
MAX_SCANS = 100

# JPEG_MARKER matches the end of a scan's compressed data. Restart markers and stuffed zeros do not end a scan.
JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
NEXT_MARKER = re.compile(rb"\xff[\x01-\xfe]")
START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN, JFIF, ADOBE, COMMENT = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE, 0xFE
SEQUENTIAL_FRAMES = {0xC0, 0xC1, 0xC9}
HUFFMAN_TABLES, END_OF_BLOCK = 0xC4, 0x00
# If the shortest code of a Huffman table is not the end of a block, this many zero bytes encode a block of at least 42
# equal coefficients. No photo has such a block. But a lost memory page or disk sector contains thousands of zeros.
ZEROS = bytes(16)
# libjpeg's warning about extra bytes between the last scan and the end.
EXTRA_BYTES = re.compile(rb"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9\s*")

# An intact WebP picture cannot be decoded without its last bytes. This number is larger than the 8 bytes that decoders
# read ahead.
WEBP_TAIL_BYTES = 32


class Damaged(Exception):
    """Raised if a file is truncated or overwritten."""


class TooManyScans(Exception):
    """Raised for a JPEG with so many scans that decoding would take minutes."""


@dataclass(frozen=True)
class Jpeg:
    """A JPEG file without its metadata.

    Attributes:
        data: content of the file.
        components: channels per pixel.
    """

    data: bytes
    components: int


def read_jpeg(data: bytes) -> Jpeg:
    """Return the first picture of a JPEG without metadata.

    Repairs harmless faults of cameras that decoders would warn about. Raises Damaged or TooManyScans."""
    parts = [b"\xff\xd8"]
    scans, components, sequential = 0, 0, False
    shortest: dict[int, int] = {}
    for marker, segment, scan in _jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (HUFFMAN_TABLES, 0xC8, 0xCC):
            sequential, components = marker in SEQUENTIAL_FRAMES, segment[7]
        elif marker == HUFFMAN_TABLES:
            shortest |= _shortest_codes(segment[2:])
        elif marker == JFIF:
            # Set the major version to 1, because decoders warn about any other version.
            segment = segment[:7] + b"\1" + segment[8:]
        elif marker == START_OF_SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise TooManyScans
            if sequential:
                if shortest.get(segment[4] & 15) != END_OF_BLOCK and ZEROS in scan.rstrip(b"\0"):
                    raise Damaged
                # Reset these bytes. Only progressive pictures use them, and cameras write arbitrary values.
                segment = segment[:-3] + b"\0\x3f\0"
        if marker == ADOBE or (marker != COMMENT and not 0xE1 <= marker <= 0xEF):
            parts += [bytes([0xFF, marker]), segment, scan]
    if not scans:
        raise Damaged
    return Jpeg(b"".join([*parts, b"\xff\xd9"]), components)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield marker, segment and compressed data of each segment of the first picture.

    The segment includes its two length bytes. Raises Damaged if the file is truncated."""
    position = 2
    while True:
        found = NEXT_MARKER.search(data, position)
        if found is None:
            raise Damaged
        marker, start = data[found.end() - 1], found.end()
        if marker == END_OF_IMAGE:
            return
        if marker in (START_OF_IMAGE, 0x01) or 0xD0 <= marker <= 0xD7:
            position = start
            continue
        length = int.from_bytes(data[start : start + 2], "big")
        end = position = start + length
        if length < 2 or end > len(data):
            raise Damaged
        if marker == START_OF_SCAN:
            following = JPEG_MARKER.search(data, end)
            position = following.start() if following else len(data)
        # Any number of fill bytes (0xFF) may precede a marker.
        yield marker, data[start:end], data[end:position].rstrip(b"\xff")


def _shortest_codes(tables: bytes) -> dict[int, int]:
    """Return the symbol of the all-zero code for each AC table in the segment."""
    shortest = {}
    while len(tables) > 17:
        if tables[0] & 0x10:
            shortest[tables[0] & 15] = tables[17]
        tables = tables[17 + sum(tables[1:17]) :]
    return shortest


def check_jpeg_warnings(warnings: bytes, jpeg: Jpeg) -> None:
    """Raise Damaged if the decoder wrote a warning.

    Allows equal bytes that fill up the last scan, because cameras write them."""
    extra = EXTRA_BYTES.fullmatch(warnings)
    if extra:
        filling = jpeg.data[-2 - int(extra[1]) : -2]
        # Also allow one or two arbitrary bytes, because some encoders end the last scan with them.
        if len(filling) <= 2 or len(set(filling)) == 1:
            return
    if warnings:
        raise Damaged


def read_png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return type and body of each chunk up to IEND. The body of IDAT is left empty.

    Raises Damaged if a checksum is wrong or the file is truncated."""
    chunks = []
    position = 8
    view = memoryview(data)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data) or zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise Damaged
        chunks.append((kind, data[position + 8 : end] if kind != b"IDAT" else b""))
        position = end + 4
        if kind == b"IEND":
            return chunks
    raise Damaged


def cut_webp(data: bytes) -> bytes | None:
    """Return the first picture of a WebP without its last bytes, or None if it is too small to cut.

    Raises Damaged if the file is truncated or contains no picture."""
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise Damaged
    for kind, body in _webp_pictures(data):
        kept = body[:-WEBP_TAIL_BYTES]
        if len(kept) < WEBP_TAIL_BYTES:
            return None
        size = len(kept)
        kept += b"\0" * (size % 2)
        return b"RIFF" + struct.pack("<I", 12 + len(kept)) + b"WEBP" + kind + struct.pack("<I", size) + kept
    raise Damaged


def _webp_pictures(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for kind, body in _webp_chunks(data, 12, len(data)):
        # The frame of an animation has a header of 16 bytes before the picture.
        inner = _webp_chunks(body, 16, len(body)) if kind == b"ANMF" else [(kind, body)]
        yield from ((name, content) for name, content in inner if name in (b"VP8 ", b"VP8L"))


def _webp_chunks(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
