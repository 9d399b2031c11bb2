"""What must not be found, in the spellings in which it could lie about: bytes of files, rows of pixels, numbers."""

import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image

from headshots import engine
from headshots.engine.photos import embedder, finder
from pipeline.faces.serialization import crop_face, unpack_faces, unpack_measurements
from pipeline.photos.intake import load_pixels
from pipeline.types import Embedding, Pixels

# A needle is so long, and no needle is made of fewer different bytes: flat surfaces are everybody's.
NEEDLE_BYTES, MIN_DISTINCT_BYTES = 24, 10
THUMB_PX = 24
# As many digits as no other number shares by chance.
_NUMBER = re.compile(rb"\d\.\d{7}")


@dataclass
class Secrets:
    """`needles`: pattern -> whose it is. `thumbs`: what pictures look like from afar. `numbers`: decimal spellings."""

    needles: dict[bytes, str] = field(default_factory=dict, repr=False)
    thumbs: list[tuple[str, Pixels]] = field(default_factory=list, repr=False)
    numbers: set[bytes] = field(default_factory=set, repr=False)
    embedding: Embedding | None = field(default=None, repr=False)

    def add(self, name: str, data: bytes, count: int = 12) -> None:
        """Pieces of these bytes; nothing of their first fifth, where every file of a kind is the same."""
        first = len(data) // 5
        for start in np.linspace(first, max(first, len(data) - NEEDLE_BYTES - 8), count, dtype=int):
            # Not with zeros in front, of which there are millions.
            shift = next((shift for shift in range(8) if 0 not in data[start + shift : start + shift + 2]), 0)
            needle = data[start + shift : start + shift + NEEDLE_BYTES]
            if len(needle) == NEEDLE_BYTES and len(set(needle)) >= MIN_DISTINCT_BYTES:
                self.needles[needle] = name

    def found_in(self, content: bytes) -> set[str]:
        """Whose needles are in it. All of them in one pass: a table of their first three bytes says where to look."""
        found = set()
        values = np.frombuffer(content, np.uint8).astype(np.uint32)
        if len(values) >= NEEDLE_BYTES:
            for start in np.flatnonzero(self._beginnings[values[:-2] << 16 | values[1:-1] << 8 | values[2:]]):
                if name := self.needles.get(content[start : start + NEEDLE_BYTES]):
                    found.add(name)
        # One number may be anybody's, two are not.
        if len(self.numbers & set(_NUMBER.findall(content))) >= 2:
            found.add("embedding")
        return found

    @cached_property
    def _beginnings(self) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        table = np.zeros(1 << 24, bool)
        table[[int.from_bytes(needle[:3], "big") for needle in self.needles]] = True
        return table

    def add_picture(self, name: str, pixels: Pixels) -> None:
        self.thumbs.append((name, thumb(pixels)))


def of_photo(upload: bytes) -> Secrets:
    """Of a photo with one face: the file, what is kept of it, its pixels, faces, measurements, crop, and embedding."""
    secrets = Secrets()
    cleaned = engine.clean_upload(upload)
    checked = engine.check(cleaned)
    (face,) = unpack_faces(checked.faces)
    crop = crop_face(cleaned, face.box)
    for name, data in (("photo", upload), ("photo", cleaned), ("crop", crop)):
        secrets.add(name, data)
        pixels = decode(data)
        secrets.add_picture(name, pixels)
        for needle in _rows(pixels):
            secrets.add(f"pixels of the {name}", needle, count=4)
    secrets.add("faces", checked.faces)
    secrets.add("faces", face.mesh.astype(np.float64).tobytes())
    measured = [asdict(each) for each in unpack_measurements(checked.faces)]
    for spelt in (json.dumps(measured), json.dumps(measured, separators=(",", ":")), repr(measured)):
        secrets.add("measurements", spelt.encode(), count=24)
    secrets.embedding = embedder().embed(load_pixels(cleaned), face)
    for vector in (secrets.embedding, secrets.embedding / np.linalg.norm(secrets.embedding)):
        for needle in _spellings(vector):
            secrets.add("embedding", needle)
        secrets.numbers |= {f"{abs(value):.12f}"[:9].encode() for value in vector.astype(float) if abs(value) > 0.01}
    return secrets


def of_headshots(files: Iterable[bytes]) -> Secrets:
    secrets = Secrets()
    for data in files:
        secrets.add("headshot", data)
        secrets.add_picture("headshot", decode(data))
        for needle in _rows(decode(data)):
            secrets.add("pixels of the headshot", needle, count=4)
    return secrets


def both(one: Secrets, other: Secrets) -> Secrets:
    return Secrets(
        one.needles | other.needles,
        [*one.thumbs, *other.thumbs],
        one.numbers | other.numbers,
        one.embedding if one.embedding is not None else other.embedding,
    )


def decode(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def thumb(pixels: Pixels) -> Pixels:
    small = Image.fromarray(pixels).resize((THUMB_PX, THUMB_PX), Image.Resampling.BOX)
    return np.array(small).astype(float)


def shows_the_person(pixels: Pixels, embedding: Embedding) -> bool:
    """Whether somebody in it is this person."""
    return any(np.linalg.norm(embedder().embed(pixels, face) - embedding) < 0.5 for face in finder().find(pixels))


def _rows(pixels: Pixels) -> Iterator[bytes]:
    """Rows of a picture in the layouts that programs keep them in."""
    for y in np.linspace(len(pixels) // 10, len(pixels) - 3, 8, dtype=int):
        row = np.ascontiguousarray(pixels[y])
        yield row.tobytes()
        yield row[:, ::-1].tobytes()
        yield row[:, 0].tobytes()
        yield np.pad(row, ((0, 0), (0, 1)), constant_values=255).tobytes()
        for kind in (np.float32, np.float64, np.float16):
            yield row.astype(kind).tobytes()
            yield (row.astype(kind) / kind(255)).tobytes()


def _spellings(vector: Embedding) -> Iterator[bytes]:
    for kind in ("<f4", "<f8", "<f2", ">f4", ">f8"):
        yield vector.astype(kind).tobytes()
    yield np.round(vector * 127).astype(np.int8).tobytes()
    yield np.round((vector + 1) * 127.5).clip(0, 255).astype(np.uint8).tobytes()
    yield np.round((vector - vector.min()) / np.ptp(vector) * 255).astype(np.uint8).tobytes()
