"""The file format of an encrypted blob. Version 1 is frozen: every file ever written must still open.

Integers are big-endian. A file is a header and one chunk or more:

    offset  bytes  what
         0      6  magic, b"HSBLOB"
         6      1  format version, 1
         7      1  algorithm, 1: AES-256-GCM throughout, chunks of 1 MiB
         8     16  key id (UUID): the shoot's id in the source ring, the pack's in the result ring
        24      7  nonce prefix of the chunks
        31     12  nonce of the wrap
        43     48  data key (32 bytes), encrypted under the ring's key; 16 of them are the tag
        91         first chunk

Each write has a fresh random data key, so a nonce never meets the same key twice. A chunk is 1 MiB of
plaintext (the last one 0 bytes to 1 MiB) and its 16-byte tag. Its nonce is the prefix, the chunk's index
in 4 bytes and one byte that is 1 for the last chunk and 0 otherwise (the STREAM construction of Hoang,
Reyhanitabar, Rogaway and Vizár, 2015): chunks cannot be dropped, repeated, reordered or added to.

The associated data of every chunk are the 91 bytes of the header, then blob id (16), key id (16) and kind
(UTF-8, to the end), so a file is refused under another blob's name. Those of the wrap are the same without the
wrapped key itself, bytes 43 to 90, which its own tag covers.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headshots.vault.errors import BlobCorrupt

MAGIC = b"HSBLOB"
VERSION = 1
AES_256_GCM_1_MIB = 1
CHUNK_BYTES = 1024 * 1024
TAG_BYTES = 16

_BEFORE_KEY = struct.Struct(">6sBB16s7s12s")
_WRAPPED_KEY_BYTES = 32 + TAG_BYTES
HEADER_BYTES = _BEFORE_KEY.size + _WRAPPED_KEY_BYTES


@dataclass(frozen=True)
class Label:
    """What a blob is, outside its file: part of the associated data, so a file opens under its own label only."""

    blob_id: UUID
    key_id: UUID
    kind: str

    @property
    def encoded(self) -> bytes:
        return self.blob_id.bytes + self.key_id.bytes + self.kind.encode()


def encrypt(data: bytes, ring_key: AESGCM, label: Label) -> Iterator[bytes]:
    """The file of a blob, piece by piece: the header, then each chunk with its tag."""
    nonce_prefix, wrap_nonce = os.urandom(7), os.urandom(12)
    before_key = _BEFORE_KEY.pack(MAGIC, VERSION, AES_256_GCM_1_MIB, label.key_id.bytes, nonce_prefix, wrap_nonce)
    data_key = AESGCM.generate_key(bit_length=256)
    header = before_key + ring_key.encrypt(wrap_nonce, data_key, before_key + label.encoded)
    yield header

    cipher, associated = AESGCM(data_key), header + label.encoded
    view = memoryview(data)
    # No data is one empty chunk, so that an empty blob is authenticated like any other.
    chunks = max(1, -(-len(view) // CHUNK_BYTES))
    for index in range(chunks):
        plain = view[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        yield cipher.encrypt(_nonce(nonce_prefix, index, last=index == chunks - 1), plain, associated)


def decrypt(file: BinaryIO, ring_key: AESGCM, label: Label) -> Iterator[bytes]:
    """What was written, chunk by chunk, each released after it verified; one empty chunk for no data.

    Only a run to the end proves that nothing is missing. Raises BlobCorrupt.
    """
    header = file.read(HEADER_BYTES)
    cipher, nonce_prefix = _open_header(header, ring_key, label)
    associated = header + label.encoded
    index, sealed = 0, file.read(CHUNK_BYTES + TAG_BYTES)
    while True:
        following = file.read(CHUNK_BYTES + TAG_BYTES)
        nonce = _nonce(nonce_prefix, index, last=not following)
        yield _decrypt_verified(cipher, nonce, sealed, associated, label, f"chunk {index}")
        if not following:
            return
        index, sealed = index + 1, following


def _open_header(header: bytes, ring_key: AESGCM, label: Label) -> tuple[AESGCM, bytes]:
    """Cipher of the chunks and their nonce prefix. Raises BlobCorrupt."""
    if len(header) < HEADER_BYTES:
        raise BlobCorrupt(label.blob_id, "the header is cut short")
    before_key, wrapped_key = header[: _BEFORE_KEY.size], header[_BEFORE_KEY.size :]
    magic, version, algorithm, key_id, nonce_prefix, wrap_nonce = _BEFORE_KEY.unpack(before_key)
    if (magic, version, algorithm) != (MAGIC, VERSION, AES_256_GCM_1_MIB):
        raise BlobCorrupt(label.blob_id, "not a blob of a version that this program knows")
    if key_id != label.key_id.bytes:
        raise BlobCorrupt(label.blob_id, "sealed under another key")
    data_key = _decrypt_verified(ring_key, wrap_nonce, wrapped_key, before_key + label.encoded, label, "wrapped key")
    return AESGCM(data_key), nonce_prefix


def _decrypt_verified(cipher: AESGCM, nonce: bytes, sealed: bytes, associated: bytes, label: Label, what: str) -> bytes:
    if len(sealed) < TAG_BYTES:
        raise BlobCorrupt(label.blob_id, what)
    try:
        return cipher.decrypt(nonce, sealed, associated)
    except InvalidTag:
        raise BlobCorrupt(label.blob_id, what) from None


def _nonce(prefix: bytes, index: int, *, last: bool) -> bytes:
    return struct.pack(">7sIB", prefix, index, last)
