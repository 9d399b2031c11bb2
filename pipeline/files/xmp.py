"""Read the IPTC digital source type from a picture's XMP. Takes linear time, even for hostile bytes.

The code walks through the parts of the file, and expat parses the XMP packet. Document types are refused, so there are
no entities to expand. Namespaces are not resolved, because expat would expand their names for every element.
"""

import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from xml.parsers import expat

from pipeline.errors import SigningFailed
from pipeline.files.signing import SOURCE_TYPES

# Editors that store a history in the XMP packet write hundreds of kilobytes.
MAX_PACKET_BYTES = 4 * 1024 * 1024
# Maximum number of segments or chunks in a file. A PNG of 25 MB in chunks of 4 kB has 6,400.
MAX_PARTS = 20_000
TOO_MANY = "The picture has too many parts."

JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
PNG_XMP = b"XML:com.adobe.xmp\x00"
JPEG_APP1, JPEG_SCAN, JPEG_END = 0xE1, 0xDA, 0xD9
# JPEG markers without a length: TEM and the restart markers.
JPEG_BARE = {0x01, *range(0xD0, 0xD8)}
ELEMENT = "DigitalSourceType"
MAX_VALUE_CHARACTERS = 200


def image_type(data: bytes) -> str | None:
    """Return the MIME type of a JPEG, PNG or WebP file, detected by content. Returns None for other files."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def read_source_type(data: bytes) -> str | None:
    """Return the last part of the digital source type's URL, or None if the picture has no source type.

    data: a JPEG, PNG or WebP file.
    Raises SigningFailed if the XMP packet is larger than MAX_PACKET_BYTES, or if it is not found within MAX_PARTS
    parts."""
    packet = find_packet(data)
    return _source_type(packet) if packet else None


def find_packet(data: bytes) -> bytes | None:
    """Return the first XMP packet of a JPEG, PNG or WebP file, or None if there is none.

    Raises SigningFailed like `read_source_type`."""
    walk = {"image/jpeg": _jpeg_packets, "image/png": _png_packets, "image/webp": _webp_packets}
    kind = image_type(data)
    packet = next(walk[kind](data), None) if kind else None
    if packet and len(packet) > MAX_PACKET_BYTES:
        raise SigningFailed("The picture's XMP is too large.")
    return packet


def _jpeg_packets(data: bytes) -> Iterator[bytes]:
    position = 2
    for _ in range(MAX_PARTS):
        if position + 4 > len(data) or data[position] != 0xFF:
            return
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in JPEG_BARE:
            position += 2
        elif marker in (JPEG_SCAN, JPEG_END):
            return
        else:
            end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
            if marker == JPEG_APP1 and data.startswith(JPEG_XMP, position + 4):
                yield data[position + 4 + len(JPEG_XMP) : end]
            # The length includes its own two bytes. Therefore the next marker is at least four bytes ahead.
            position = max(end, position + 4)
    raise SigningFailed(TOO_MANY)


def _png_packets(data: bytes) -> Iterator[bytes]:
    position = 8
    for _ in range(MAX_PARTS):
        if position + 8 > len(data):
            return
        start = position + 8
        end = start + int.from_bytes(data[position : position + 4], "big")
        if data.startswith(b"iTXt" + PNG_XMP, position + 4):
            yield _international_text(data[start + len(PNG_XMP) : end])
        position = end + 4
    raise SigningFailed(TOO_MANY)


def _international_text(body: bytes) -> bytes:
    """Return the text of an iTXt chunk, decompressed if necessary. Returns b"" for damaged text.

    body: the chunk after its keyword (compression flag, method, language, translated keyword, text)."""
    is_compressed, rest = body[:1] == b"\x01", body[2:]
    text = rest.split(b"\x00", 2)[-1]
    if not is_compressed:
        return text
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(text, MAX_PACKET_BYTES + 1)
    return b""


def _webp_packets(data: bytes) -> Iterator[bytes]:
    position = 12
    for _ in range(MAX_PARTS):
        if position + 8 > len(data):
            return
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"XMP ":
            yield data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    raise SigningFailed(TOO_MANY)


class _DoctypeRefused(Exception):
    """Raised if the XMP packet has a document type.

    XMP never has one. Without a document type there are no entities to expand."""


class _Found(Exception):
    """Raised to stop the parser once the source type is found."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value


class _SourceTypeReader:
    """Handlers of an expat parser that searches for the source type.

    The source type is the text of the element DigitalSourceType, its rdf:resource, or an attribute of any element."""

    def __init__(self) -> None:
        self.text: str | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        is_element = _local(name) == ELEMENT
        for attribute, value in attributes.items():
            if _local(attribute) == ELEMENT or (is_element and _local(attribute) == "resource"):
                _check_source_type(value)
        if is_element:
            self.text = ""

    def characters(self, text: str) -> None:
        if self.text is not None and len(self.text) <= MAX_VALUE_CHARACTERS:
            self.text += text[:MAX_VALUE_CHARACTERS]

    def end(self, name: str) -> None:
        if self.text is not None and _local(name) == ELEMENT:
            _check_source_type(self.text)
            self.text = None


def _source_type(packet: bytes) -> str | None:
    reader, parser = _SourceTypeReader(), expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.CharacterDataHandler = reader.characters
    parser.EndElementHandler = reader.end
    try:
        parser.Parse(packet, True)
    except _Found as found:
        return found.value
    except (expat.ExpatError, _DoctypeRefused):
        return None
    return None


def _refuse_doctype(*_declaration: object) -> None:
    raise _DoctypeRefused


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _check_source_type(value: str) -> None:
    """Raise _Found if the value is the URL of an IPTC source type."""
    address = value[:MAX_VALUE_CHARACTERS].strip()
    if address.startswith(SOURCE_TYPES) and re.fullmatch(r"\w{1,100}", address.removeprefix(SOURCE_TYPES)):
        raise _Found(address.removeprefix(SOURCE_TYPES))
