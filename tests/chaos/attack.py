"""Somebody who holds all copies: looks into every file and value, decodes what is encoded, opens what can be opened."""

import base64
import binascii
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from uuid import UUID

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from PIL import Image

from headshots.vault.errors import BlobCorrupt
from headshots.vault.format import HEADER_BYTES, MAGIC, Label, decrypt
from tests.chaos.loot import Piece
from tests.chaos.needles import Secrets, shows_the_person, thumb

# Every kind of blob that the product writes: part of what a blob is sealed with.
KINDS = ("photo", "faces", "face_crop", "self_description", "subject", "headshot", "web", "profile", "thumbnail")
BLOCK, OVERLAP = 4096, 512
ALIKE = 12.0  # mean difference of thumbnails, of 255: the same picture in another format has 2, another 40

_KEY = re.compile(rb"HSKEY\x01.{8}(.{32})", re.DOTALL)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{40,}")
_HEX = re.compile(rb"[0-9a-fA-F]{48,}")
_INTS = re.compile(rb"\d{1,3}(?:\s*,\s*\d{1,3}){15,}")
_TEXT = re.compile(rb"(?:[\x00-\x7f]|[\xc2\xc3][\x80-\xbf]){48,}")
_ESCAPED = re.compile(rb"\\(?:x|u00)([0-9a-fA-F]{2})")
_DEFLATED = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08|PK\x03\x04")
# How pictures begin, and where in them that stands.
_PICTURES = [
    (re.compile(re.escape(words)), at)
    for words, at in (
        (b"\xff\xd8\xff", 0), (b"\x89PNG\r\n\x1a\n", 0), (b"WEBPVP8", 8), (b"GIF87a", 0), (b"GIF89a", 0),
        (b"II*\0", 0), (b"MM\0*", 0), (b"ftyphei", 4), (b"ftypmif1", 4), (b"ftypavif", 4),
    )
]  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What was found and where; `opened`: with a key, out of a blob of this kind."""

    what: str
    place: str
    opened: str = ""


def attack(pieces: Iterable[Piece], secrets: Secrets) -> list[Finding]:
    """Everything private that these copies yield."""
    copies = list(pieces)
    readable = list(_fresh(copies))
    readable += _unfold(readable, depth=2)
    opened = open_blobs(copies, find_keys(readable))
    opened += [(inner, kind) for piece, kind in opened for inner in _unfold([piece], depth=1)]
    found = []
    for piece, kind in [*((piece, "") for piece in readable), *opened]:
        found += [Finding(what, piece.place, kind) for what in secrets.found_in(piece.content)]
    looked_at: set[bytes] = set()
    # Pictures in whole copies: a part of one does not decode.
    for piece, kind in [*((piece, "") for piece in (*copies, *readable)), *opened]:
        for image in _pictures(piece.content):
            pixels = np.array(image)
            if (digest := sha256(pixels.tobytes()).digest()) not in looked_at:
                looked_at.add(digest)
                found += [Finding(what, piece.place, kind) for what in _recognize(pixels, secrets)]
    return found


def find_keys(pieces: Iterable[Piece]) -> set[bytes]:
    """All that is or could be a key of a ring: what looks like its record, and every value of the right length."""
    keys = {bytes(32)}
    for piece in pieces:
        keys |= set(_KEY.findall(piece.content))
        if len(piece.content) == 32:
            keys.add(piece.content)
        if piece.place.startswith("settings/") or len(piece.content) <= 128:
            keys.add(sha256(piece.content).digest())
    return keys


def open_blobs(pieces: Iterable[Piece], keys: set[bytes]) -> list[tuple[Piece, str]]:
    """What comes out of every blob with any of the keys, and the kind it was sealed as."""
    ciphers = [AESGCM(key) for key in keys]
    opened = []
    for piece in pieces:
        if not piece.content.startswith(MAGIC) or len(piece.content) < HEADER_BYTES:
            continue
        with suppress(ValueError):
            blob_id, key_id = UUID(piece.name[:36]), UUID(bytes=piece.content[8:24])
            for kind in KINDS:
                label = Label(blob_id, key_id, kind)
                for cipher in ciphers:
                    with suppress(BlobCorrupt):
                        plain = b"".join(decrypt(io.BytesIO(piece.content), cipher, label))
                        opened.append((Piece(f"{piece.place} (opened)", plain), kind))
    return opened


def _fresh(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The same without the blocks that an earlier copy had already, with some bytes around what is new."""
    seen: set[bytes] = set()
    for piece in pieces:
        content = piece.content
        starts = range(0, len(content), BLOCK)
        digests = [sha256(content[start : start + BLOCK]).digest() for start in starts]
        for is_new, run in groupby(zip(starts, digests, strict=True), lambda block: block[1] not in seen):
            blocks = [start for start, _ in run]
            if is_new:
                yield Piece(piece.place, content[max(0, blocks[0] - OVERLAP) : blocks[-1] + BLOCK + OVERLAP])
        seen.update(digests)


def _unfold(pieces: Iterable[Piece], depth: int) -> Iterator[Piece]:
    """What is spelt in them: base64, hex, lists of numbers, escapes, compressed."""
    if depth == 0:
        return
    for piece in pieces:
        for content in _spelt(piece.content):
            if len(content) >= 16:
                inner = Piece(f"{piece.place} (decoded)", content)
                yield inner
                yield from _unfold([inner], depth - 1)


def _spelt(content: bytes) -> Iterator[bytes]:
    for run in _BASE64.findall(content):
        plain = run.replace(b"-", b"+").replace(b"_", b"/")
        for offset in range(4):
            part = plain[offset:]
            with suppress(binascii.Error):
                yield base64.b64decode(part[: len(part) // 4 * 4])
        # The last group may be short.
        with suppress(binascii.Error):
            yield base64.b64decode(plain + b"=" * (-len(plain) % 4))
    for run in _HEX.findall(content):
        for offset in range(2):
            part = run[offset:]
            yield bytes.fromhex(part[: len(part) // 2 * 2].decode())
    for run in _INTS.findall(content):
        yield bytes(value for value in map(int, run.split(b",")) if value < 256)
    if _ESCAPED.search(content):
        yield _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), content)
    for run in _TEXT.findall(content):
        if b"\xc2" in run or b"\xc3" in run:
            yield run.decode().encode("latin-1")
    for match in _DEFLATED.finditer(content):
        yield from _inflated(content, match.start())


def _inflated(content: bytes, start: int) -> Iterator[bytes]:
    wbits = 47
    if content[start : start + 2] == b"PK":
        name, extra = (int.from_bytes(content[start + at : start + at + 2], "little") for at in (26, 28))
        start, wbits = start + 30 + name + extra, -15
    with suppress(zlib.error):
        yield zlib.decompressobj(wbits).decompress(content[start:], 1 << 24)


def _pictures(content: bytes) -> Iterator[Image.Image]:
    found = [match.start() - at for words, at in _PICTURES for match in words.finditer(content)]
    for start in sorted({0 if content.startswith(b"BM") else -1, *found} - {-1}):
        try:
            with Image.open(io.BytesIO(content[max(0, start) :])) as image:
                if min(image.size) >= 12:
                    yield image.convert("RGB")
        except Exception:  # noqa: S112  whatever noise makes of a decoder: it is no picture
            continue


def _recognize(pixels: np.ndarray, secrets: Secrets) -> set[str]:
    """Which secret this picture is, from afar, or that it shows the person."""
    small = thumb(pixels)
    distances = [(float(np.abs(small - known).mean()), name) for name, known in secrets.thumbs]
    if distances and min(distances)[0] < ALIKE:
        return {min(distances)[1]}
    if secrets.embedding is not None and min(pixels.shape[:2]) >= 48 and shows_the_person(pixels, secrets.embedding):
        return {"face"}
    return set()
