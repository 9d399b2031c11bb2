"""Reads what a HEIC container says of its items: where their bytes are, of what kind they are, which way they turn."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.decoder.damage import Damaged, check_hevc

# More than any phone writes; a box in a box is at most four deep.
MAX_ITEMS = 5000


@dataclass
class Container:
    """What the meta box says. primary: the picture's item. turned: items that the container turns or mirrors."""

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    turned: set[int] = field(default_factory=set)


def read_container(data: bytes) -> Container:
    """Return what the file's meta box says; an empty Container for a sequence, which has none.

    Raises Damaged, IndexError, struct.error where it makes no sense."""
    container = Container()
    # Phones append data of their own that is no box; whether the picture's bytes are all there is checked below.
    for kind, body in boxes(data, whole=False):
        if kind == b"meta":
            for inner, content in boxes(body[4:]):
                if inner == b"pitm":
                    container.primary = int.from_bytes(content[4 : 8 if content[0] else 6], "big")
                elif inner == b"iinf":
                    container.kinds = read_kinds(content)
                elif inner == b"iloc":
                    container.extents = read_extents(content)
                elif inner == b"iprp":
                    container.turned = read_turned(content)
    return container


def check_container(data: bytes, container: Container) -> None:
    """Raise Damaged where an item is cut short or its HEVC data was overwritten."""
    for item, extents in container.extents.items():
        if any(offset + length > len(data) for offset, length in extents):
            raise Damaged
        if container.kinds.get(item) == b"hvc1":
            check_hevc(b"".join(data[offset : offset + length] for offset, length in extents))


def boxes(data: bytes, *, whole: bool = True) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of each box. Raises Damaged for one that is cut short, or stops there if not `whole`."""
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
    """Return each item's kind, four letters (iinf)."""
    kinds = {}
    for kind, entry in boxes(content[6 if content[0] == 0 else 8 :]):
        if kind == b"infe" and entry[0] >= 2:
            width = 2 if entry[0] == 2 else 4
            kinds[int.from_bytes(entry[4 : 4 + width], "big")] = entry[6 + width : 10 + width]
    return kinds


def read_extents(content: bytes) -> dict[int, list[tuple[int, int]]]:
    """Return offset and length of each piece of the items that are stored in the file itself (iloc)."""
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
        # Pieces without numbers take no bytes: without this a few bytes could claim millions of them.
        for _ in range(count if offset_bytes + length_bytes else min(count, 1)):
            number(index_bytes)
            offset = number(offset_bytes)
            pieces.append((base + offset, number(length_bytes)))
        if in_file:
            extents[item] = pieces
    return extents


def read_turned(content: bytes) -> set[int]:
    """Return the items with a property that turns or mirrors them (iprp)."""
    parts = list(boxes(content))
    properties = [prop for name, body in parts if name == b"ipco" for prop in boxes(body)]
    turned = set()
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
                if 0 < index <= len(properties) and _turns(*properties[index - 1]):
                    turned.add(item)
    return turned


def _turns(kind: bytes, content: bytes) -> bool:
    return kind == b"imir" or (kind == b"irot" and content[0] & 3 != 0)
