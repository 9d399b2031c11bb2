"""Read the item structure of a HEIC container: location, type and rotation of each item."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.photos.decoder.damage import Damaged
from pipeline.photos.decoder.hevc import check_hevc

# Maximum number of items that are read. No phone writes that many.
MAX_ITEMS = 5000


@dataclass
class Container:
    """The contents of the meta box. The keys of all dictionaries are item ids.

    Attributes:
        primary: id of the primary picture.
        kinds: item type, four letters.
        extents: offset and length of each extent in the file.
        parts: items that the item is composed of.
        turned: items that the container rotates or mirrors.
        setups: HEVC decoder configuration (hvcC).
    """

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    parts: dict[int, list[int]] = field(default_factory=dict)
    turned: set[int] = field(default_factory=set)
    setups: dict[int, bytes] = field(default_factory=dict)

    def pieces(self) -> list[int]:
        """Return the items with the primary picture's compressed data: the primary item or its tiles.

        Removes the visited items from `parts`, so that cycles end. A second call therefore does not find the tiles."""
        pieces: list[int] = []
        waiting = [self.primary]
        while waiting and len(pieces) < MAX_ITEMS:
            item = waiting.pop()
            if self.kinds.get(item) == b"hvc1":
                pieces.append(item)
            waiting += self.parts.pop(item, [])
        return pieces


def read_container(data: bytes) -> Container:
    """Return the contents of the file's meta box.

    Returns an empty Container for an image sequence, which has no meta box. Raises Damaged, IndexError or struct.error
    for invalid data."""
    container = Container()
    # Phones append data that is not a box. `check_container` detects missing bytes of the picture.
    for kind, body in boxes(data, whole=False):
        if kind == b"meta":
            for inner, content in boxes(body[4:]):
                if inner == b"pitm":
                    container.primary = int.from_bytes(content[4 : 8 if content[0] else 6], "big")
                elif inner == b"iinf":
                    container.kinds = read_kinds(content)
                elif inner == b"iloc":
                    container.extents = read_extents(content)
                elif inner == b"iref":
                    container.parts = read_parts(content)
                elif inner == b"iprp":
                    read_properties(content, container)
    return container


def check_container(data: bytes, container: Container) -> None:
    """Raise Damaged if an item is truncated or if the primary picture's compressed data was overwritten."""
    for extents in container.extents.values():
        if any(offset + length > len(data) for offset, length in extents):
            raise Damaged
    for item in container.pieces():
        if item in container.extents:
            extents = container.extents[item]
            units = read_units(b"".join(data[offset : offset + length] for offset, length in extents))
            check_hevc(read_setup(container.setups.get(item, b"")), units)


def read_units(content: bytes) -> list[bytes]:
    """Split an item's data into HEVC NAL units.

    Each unit follows its length in 4 bytes. Raises Damaged if a unit is truncated or too short."""
    units, position = [], 0
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        units.append(content[position + 4 : position + 4 + length])
        position += 4 + length
        if length < 2 or position > len(content):
            raise Damaged
    return units


def read_setup(content: bytes) -> list[bytes]:
    """Return the HEVC units (hvcC) that a decoder needs before the units of the picture.

    Raises Damaged if a unit is truncated."""
    units, position = [], 23
    for _ in range(content[22] if len(content) > 22 else 0):
        count = int.from_bytes(content[position + 1 : position + 3], "big")
        position += 3
        for _ in range(count):
            length = int.from_bytes(content[position : position + 2], "big")
            units.append(content[position + 2 : position + 2 + length])
            position += 2 + length
            if position > len(content):
                raise Damaged
    return units


def boxes(data: bytes, *, whole: bool = True) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each box.

    A truncated box raises Damaged, or ends the iteration if `whole` is False."""
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if size == 1:
            size, header = struct.unpack_from(">Q", data, position + 8)[0], 16
        end = position + size if size else len(data)
        if end < position + header or end > len(data):
            if whole:
                raise Damaged
            return
        yield kind, data[position + header : end]
        position = end


def read_kinds(content: bytes) -> dict[int, bytes]:
    """Return the type of each item, four letters (iinf)."""
    kinds = {}
    for kind, entry in boxes(content[6 if content[0] == 0 else 8 :]):
        if kind == b"infe" and entry[0] >= 2:
            width = 2 if entry[0] == 2 else 4
            kinds[int.from_bytes(entry[4 : 4 + width], "big")] = entry[6 + width : 10 + width]
    return kinds


def read_extents(content: bytes) -> dict[int, list[tuple[int, int]]]:
    """Return offset and length of each extent of the items whose data is in the file itself (iloc).

    Raises Damaged if the box is truncated."""
    version, sizes = content[0], content[4:6]
    offset_bytes, length_bytes, base_bytes = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
    index_bytes = sizes[1] & 15 if version else 0
    position = 6

    def number(width: int) -> int:
        nonlocal position
        position += width
        if position > len(content):
            raise Damaged
        return int.from_bytes(content[position - width : position], "big")

    id_bytes = 4 if version == 2 else 2
    extents: dict[int, list[tuple[int, int]]] = {}
    for _ in range(min(number(id_bytes), MAX_ITEMS)):
        item = number(id_bytes)
        in_file = number(2) & 15 == 0 if version else True
        number(2)
        base = number(base_bytes)
        pieces = []
        count = number(2)
        # Extents without offset and length take no bytes. Without this limit, a few bytes could declare millions of
        # extents.
        for _ in range(count if offset_bytes + length_bytes else min(count, 1)):
            number(index_bytes)
            offset = number(offset_bytes)
            pieces.append((base + offset, number(length_bytes)))
        if in_file:
            extents[item] = pieces
    return extents


def read_parts(content: bytes) -> dict[int, list[int]]:
    """Return the items that each item is composed of (iref)."""
    width = 4 if content[0] else 2
    parts = {}
    for kind, body in boxes(content[4:]):
        if kind == b"dimg":
            numbers = [int.from_bytes(body[at : at + width], "big") for at in range(width + 2, len(body), width)]
            parts[int.from_bytes(body[:width], "big")] = numbers
    return parts


def read_properties(content: bytes, container: Container) -> None:
    """Add the rotated or mirrored items and the hvcC of each item to the container (iprp)."""
    parts = list(boxes(content))
    properties = [prop for name, body in parts if name == b"ipco" for prop in boxes(body)]
    for name, body in parts:
        if name != b"ipma":
            continue
        wide, id_bytes = body[3] & 1, 4 if body[0] else 2
        position = 8
        for _ in range(min(int.from_bytes(body[4:8], "big"), MAX_ITEMS)):
            item, count = int.from_bytes(body[position : position + id_bytes], "big"), body[position + id_bytes]
            position += id_bytes + 1
            for _ in range(count):
                index = int.from_bytes(body[position : position + 1 + wide], "big") & (0x7FFF if wide else 0x7F)
                position += 1 + wide
                kind, value = properties[index - 1] if 0 < index <= len(properties) else (b"", b"")
                if _turns(kind, value):
                    container.turned.add(item)
                if kind == b"hvcC":
                    container.setups[item] = value


def _turns(kind: bytes, content: bytes) -> bool:
    return kind == b"imir" or (kind == b"irot" and content[0] & 3 != 0)
