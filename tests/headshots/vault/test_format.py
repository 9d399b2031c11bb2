"""The blob format: what was written comes back, and nothing else ever does."""

import io
from base64 import b64decode
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from headshots.vault.errors import BlobCorrupt
from headshots.vault.format import CHUNK_BYTES, HEADER_BYTES, TAG_BYTES, Label, decrypt, encrypt

KEY = AESGCM(bytes(range(32)))
LABEL = Label(blob_id=UUID(int=1), key_id=UUID(int=2), kind="photo")

# Written once by version 1 with KEY and LABEL. It must open for ever: people's headshots are stored like this.
FROZEN = b64decode(
    "SFNCTE9CAQEAAAAAAAAAAAAAAAAAAAAC6vPRG4P0meX5ffaw56aVKeStqJHrPVF1C1N867mW+cfkx75Z1JaVS4WwvQCjL+tRcVb5"
    "F5Cmame0+Ba2OhkwEcQ6oNfZMLLQdrjyEkpcnXdKlTcvUgsRMzDF6HG7Xu/+kUx9GOD+"
)

SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7]
# name -> (first byte, one past the last)
HEADER_REGIONS = {
    "magic": (0, 6),
    "version": (6, 7),
    "algorithm": (7, 8),
    "key id": (8, 24),
    "nonce prefix": (24, 31),
    "wrap nonce": (31, 43),
    "wrapped key": (43, 91),
}


def seal(data: bytes, key: AESGCM = KEY, label: Label = LABEL) -> bytes:
    return b"".join(encrypt(data, key, label))


def unseal(sealed: bytes, key: AESGCM = KEY, label: Label = LABEL) -> bytes:
    return b"".join(decrypt(io.BytesIO(sealed), key, label))


def chunk(sealed: bytes, index: int) -> bytes:
    start = HEADER_BYTES + index * (CHUNK_BYTES + TAG_BYTES)
    return sealed[start : start + CHUNK_BYTES + TAG_BYTES]


@pytest.fixture(scope="module")
def three_chunks() -> bytes:
    return seal(b"a" * CHUNK_BYTES + b"b" * CHUNK_BYTES + b"c" * 100)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_comes_back_at_every_chunk_border(size):
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]

    assert unseal(seal(data)) == data


@given(st.binary(max_size=5000), st.uuids(), st.uuids(), st.text(max_size=32))
@settings(max_examples=50)
def test_any_bytes_come_back_under_any_label(data, blob_id, key_id, kind):
    label = Label(blob_id, key_id, kind)

    assert unseal(seal(data, label=label), label=label) == data


def test_a_file_of_the_frozen_version_still_opens():
    assert unseal(FROZEN) == b"headshots, format 1"


@pytest.mark.parametrize("size", SIZES)
def test_the_file_is_as_long_as_the_layout_says(size):
    chunks = max(1, -(-size // CHUNK_BYTES))

    assert len(seal(bytes(size))) == 91 + size + 16 * chunks


def test_the_same_bytes_never_look_the_same_twice():
    first, second = seal(b"same" * 100), seal(b"same" * 100)

    # All that two files under one key share is the magic, the versions and the key's id.
    assert first[:24] == second[:24]
    assert first[24:31] != second[24:31]
    assert first[43:] != second[43:]


@pytest.mark.parametrize("region", HEADER_REGIONS)
def test_any_changed_bit_of_the_header_is_refused(region):
    sealed = seal(b"a face")
    start, end = HEADER_REGIONS[region]
    for position in range(start, end):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[position] ^= 1 << bit
            with pytest.raises(BlobCorrupt):
                unseal(bytes(changed))


def test_any_changed_byte_of_a_chunk_or_its_tag_is_refused():
    sealed = seal(b"a face")
    for position in range(HEADER_BYTES, len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(BlobCorrupt):
            unseal(bytes(changed))


@given(st.data())
@settings(max_examples=100)
def test_no_tampering_anywhere_gives_other_bytes(data):
    plain = data.draw(st.binary(max_size=300))
    sealed = seal(plain)
    start = data.draw(st.integers(0, len(sealed)))
    end = data.draw(st.integers(start, len(sealed)))
    tampered = sealed[:start] + data.draw(st.binary(max_size=40)) + sealed[end:]

    if tampered == sealed:
        assert unseal(tampered) == plain
    else:
        with pytest.raises(BlobCorrupt):
            unseal(tampered)


def test_a_file_cut_anywhere_is_refused():
    sealed = seal(b"a face")
    for length in range(len(sealed)):
        with pytest.raises(BlobCorrupt):
            unseal(sealed[:length])


def test_a_missing_last_chunk_is_refused(three_chunks):
    whole_chunks_only = three_chunks[: HEADER_BYTES + 2 * (CHUNK_BYTES + TAG_BYTES)]

    with pytest.raises(BlobCorrupt):
        unseal(whole_chunks_only)


def test_an_empty_file_of_nothing_but_its_header_is_refused():
    with pytest.raises(BlobCorrupt):
        unseal(seal(b"")[:HEADER_BYTES])


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 2), (0, 2), (0, 1, 1, 2), (0, 1, 2, 2)], ids=str)
def test_swapped_dropped_and_repeated_chunks_are_refused(three_chunks, order):
    shuffled = three_chunks[:HEADER_BYTES] + b"".join(chunk(three_chunks, index) for index in order)

    with pytest.raises(BlobCorrupt):
        unseal(shuffled)


def test_a_chunk_of_another_write_is_refused(three_chunks):
    other = seal(b"a" * CHUNK_BYTES + b"b" * CHUNK_BYTES + b"c" * 100)
    mixed = three_chunks[: -100 - TAG_BYTES] + other[-100 - TAG_BYTES :]

    with pytest.raises(BlobCorrupt):
        unseal(mixed)


@pytest.mark.parametrize(
    "label",
    [replace(LABEL, blob_id=uuid4()), replace(LABEL, key_id=uuid4()), replace(LABEL, kind="headshot")],
    ids=["another blob", "another shoot", "another kind"],
)
def test_a_file_does_not_open_under_another_label(label):
    with pytest.raises(BlobCorrupt):
        unseal(seal(b"a face"), label=label)


def test_a_file_does_not_open_with_another_key():
    with pytest.raises(BlobCorrupt):
        unseal(seal(b"a face"), key=AESGCM(AESGCM.generate_key(256)))


def test_nothing_of_a_chunk_is_released_before_it_verifies(three_chunks):
    changed = bytearray(three_chunks)
    changed[HEADER_BYTES + CHUNK_BYTES + TAG_BYTES] ^= 1  # the first byte of the second chunk
    chunks = decrypt(io.BytesIO(bytes(changed)), KEY, LABEL)

    assert next(chunks) == b"a" * CHUNK_BYTES
    with pytest.raises(BlobCorrupt, match="chunk 1"):
        next(chunks)


def test_chunks_are_as_long_as_in_files_that_exist_already():
    # The name of the format in each header promises 1 MiB. With another length, older files can't be read.
    assert (CHUNK_BYTES, TAG_BYTES) == (2**20, 16)


def test_reading_holds_no_more_than_two_chunks(three_chunks):
    file = io.BytesIO(three_chunks)
    next(decrypt(file, KEY, LABEL))

    assert file.tell() == HEADER_BYTES + 2 * (CHUNK_BYTES + TAG_BYTES)


def test_the_file_shows_nothing_of_its_contents_and_errors_show_no_bytes():
    sealed = seal(b"a very recognizable face" * 10)

    assert b"recognizable" not in sealed
    with pytest.raises(BlobCorrupt) as refusal:
        unseal(sealed[:-1])
    assert str(refusal.value) == f"blob {LABEL.blob_id} is corrupt: chunk 0"
