"""The file format of an encrypted blob. Version 1 is frozen: every file ever written must still open.

Integers are big-endian. A file is a header followed by one or more chunks:

    offset  bytes  what
         0      6  magic, b"HSBLOB"
         6      1  format version, 1
         7      1  algorithm, 1: AES-256-GCM throughout, chunks of 1 MiB
         8     16  key id (UUID): the shoot's id in the source ring, the pack's in the result ring
        24      7  nonce prefix of the chunks
        31     12  nonce of the wrap
        43     48  wrap: the data key (32 bytes) encrypted under the ring's key, and its tag (16 bytes)
        91         first chunk

Each write uses a new random data key, so no data key is used twice with the same nonce.

A chunk is 1 MiB of encrypted plaintext and a 16-byte tag. The last chunk has 0 bytes to 1 MiB of plaintext. The nonce
of a chunk consists of:

- the prefix (7 bytes)
- the index of the chunk (4 bytes)
- 1 for the last chunk, 0 for all others (1 byte)

This is the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár, 2015). The construction prevents dropping,
repeating, reordering and adding chunks.

The associated data of every chunk consists of:

- the header (91 bytes)
- the blob id (16 bytes)
- the key id (16 bytes)
- the kind (UTF-8, to the end)

A file is therefore refused under the name of another blob. The wrap has the same associated data, but without the wrap
itself (bytes 43 to 90).
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
    """The identity of a blob, as stated in its row. A file can only be decrypted with the label of its blob."""

    blob_id: UUID
    key_id: UUID
    kind: str

    @property
    def encoded(self) -> bytes:
        return self.blob_id.bytes + self.key_id.bytes + self.kind.encode()


def encrypt(data: bytes, ring_key: AESGCM, label: Label) -> Iterator[bytes]:
    """Encrypt a blob. Yields the parts of its file: the header, then each chunk with its tag."""
    nonce_prefix, wrap_nonce = os.urandom(7), os.urandom(12)
    before_key = _BEFORE_KEY.pack(MAGIC, VERSION, AES_256_GCM_1_MIB, label.key_id.bytes, nonce_prefix, wrap_nonce)
    data_key = AESGCM.generate_key(bit_length=256)
    header = before_key + ring_key.encrypt(wrap_nonce, data_key, before_key + label.encoded)
    yield header

    cipher, associated = AESGCM(data_key), header + label.encoded
    view = memoryview(data)
    # An empty blob has one empty chunk, so that empty blobs are authenticated too.
    chunks = max(1, -(-len(view) // CHUNK_BYTES))
    for index in range(chunks):
        plain = view[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        yield cipher.encrypt(_nonce(nonce_prefix, index, last=index == chunks - 1), plain, associated)


def decrypt(file: BinaryIO, ring_key: AESGCM, label: Label) -> Iterator[bytes]:
    """Decrypt a blob. Yields each chunk of plaintext after verifying it.

    An empty blob yields one empty chunk. Only reading to the end proves that no chunk is missing. Raises BlobCorrupt.
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
    """Return the cipher and the nonce prefix of the chunks. Raises BlobCorrupt."""
    if len(header) < HEADER_BYTES:
        raise BlobCorrupt(label.blob_id, "the header is incomplete")
    before_key, wrapped_key = header[: _BEFORE_KEY.size], header[_BEFORE_KEY.size :]
    magic, version, algorithm, key_id, nonce_prefix, wrap_nonce = _BEFORE_KEY.unpack(before_key)
    if (magic, version, algorithm) != (MAGIC, VERSION, AES_256_GCM_1_MIB):
        raise BlobCorrupt(label.blob_id, "its format version is unknown")
    if key_id != label.key_id.bytes:
        raise BlobCorrupt(label.blob_id, "encrypted with another key")
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
