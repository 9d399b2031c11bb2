"""Reading and writing private bytes. Whoever holds a blob's row and a living key may read; nobody else can."""

from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from uuid import UUID, uuid4

from django.conf import settings

from headshots.vault.errors import KeyGone
from headshots.vault.format import Label, decrypt, encrypt
from headshots.vault.models import Blob
from headshots.vault.rings import open_ring
from headshots.vault.store import FileStore


def create_key(*, ring: str, key_id: UUID, expires_at: datetime | None = None) -> None:
    """Make the key of a shoot (ring "source", must expire within 24 hours) or a pack ("result").

    An existing key is left alone. Once per id, when the shoot or pack is made: never to mend KeyGone.
    """
    open_ring(ring).create(key_id, expires_at)


def key_exists(*, ring: str, key_id: UUID) -> bool:
    """Whether the key lives; an expired one is erased and counts as gone."""
    return open_ring(ring).has(key_id)


def destroy_key(*, ring: str, key_id: UUID) -> None:
    """Erase the key: from here on all that it sealed is noise, in every copy. Safe to repeat."""
    open_ring(ring).destroy(key_id)


def sweep_expired_keys() -> int:
    """Erase the keys of photos whose time is over, whoever they belong to; how many."""
    return open_ring("source").sweep_expired()


def write_blob(*, ring: str, key_id: UUID, kind: str, data: bytes) -> Blob:
    """Seal and store the bytes. Raises KeyGone, and then leaves nothing behind."""
    keys, store = open_ring(ring), blob_store()
    blob = Blob(id=uuid4(), ring=ring, key_id=key_id, kind=kind, size=len(data))
    store.write(blob.id, encrypt(data, keys.cipher(key_id), _label(blob)))
    blob.save(force_insert=True)
    # A purge between the first look at the key and this row did not see it. From here on one does.
    if not keys.has(key_id):
        delete_blob(blob)
        raise KeyGone(key_id)
    return blob


def stream_blob(blob: Blob) -> Iterator[bytes]:
    """The bytes in chunks of 1 MiB, each verified before it is released.

    The key and the first chunk are looked at before this returns, so a dead key is an exception here and
    no half response. Raises KeyGone, BlobMissing, BlobCorrupt; the last also later, while it is read.
    """
    chunks = _plain_chunks(blob)
    return chain([next(chunks)], chunks)


def read_blob(blob: Blob) -> bytes:
    """The bytes, whole and verified. Raises KeyGone, BlobMissing, BlobCorrupt."""
    return b"".join(_plain_chunks(blob))


def delete_blob(blob: Blob) -> None:
    """Remove file and row. Safe to repeat."""
    blob_store().delete(blob.id)
    Blob.objects.filter(id=blob.id).delete()


def delete_files(*, ring: str, key_id: UUID) -> int:
    """Remove the files of all that was sealed with this key and leave the rows; how many. Safe to repeat."""
    store = blob_store()
    return sum(store.delete(blob_id) for blob_id in _blob_ids(ring, key_id))


def delete_blobs(*, ring: str, key_id: UUID) -> int:
    """Remove all that was sealed with this key, files before rows; how many rows. Safe to repeat and to resume.

    Rows that refer to the blobs must be gone, else Django's ProtectedError."""
    ids, store = _blob_ids(ring, key_id), blob_store()
    for blob_id in ids:
        store.delete(blob_id)
    # These and no others: a row that comes this moment still names a file.
    for start in range(0, len(ids), 500):
        Blob.objects.filter(id__in=ids[start : start + 500]).delete()
    return len(ids)


def blob_store() -> FileStore:
    return FileStore(settings.HEADSHOTS_DATA_DIR / "blobs")


def _plain_chunks(blob: Blob) -> Iterator[bytes]:
    key = open_ring(blob.ring).cipher(blob.key_id)
    with blob_store().open(blob.id) as file:
        yield from decrypt(file, key, _label(blob))


def _label(blob: Blob) -> Label:
    return Label(blob.id, blob.key_id, blob.kind)


def _blob_ids(ring: str, key_id: UUID) -> list[UUID]:
    return list(Blob.objects.filter(ring=ring, key_id=key_id).values_list("id", flat=True))
