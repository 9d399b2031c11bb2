"""The facade of the vault: write, read and delete private bytes, destroy their keys."""

import errno
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import chain
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from headshots.vault.errors import BlobCorrupt, KeyGone
from headshots.vault.format import Label, decrypt, encrypt
from headshots.vault.models import Blob
from headshots.vault.rings import open_ring
from headshots.vault.s3_store import S3Store, s3_client
from headshots.vault.store import BlobName, BlobStore, FileStore

# SQLite takes 32,766 values in one statement, PostgreSQL 65,535; a list of this length is quick in both.
BATCH_SIZE = 500


def create_key(*, ring: str, key_id: UUID, expires_at: datetime | None = None) -> None:
    """Make the key of a shoot (ring "source", must expire within 24 hours) or a pack ("result").

    An existing key is left alone. Once per id, when the shoot or pack is made: never to mend KeyGone.
    Raises UnsafeRing, VaultUnavailable.
    """
    open_ring(ring).create(key_id, expires_at)


def key_exists(*, ring: str, key_id: UUID) -> bool:
    """Whether the key lives; an expired one is erased and counts as gone. Raises VaultUnavailable."""
    return open_ring(ring).has(key_id)


def destroy_key(*, ring: str, key_id: UUID) -> None:
    """Erase the key: from here on all that it sealed is noise, in every copy. Safe to repeat."""
    destroy_keys(ring=ring, key_ids=[key_id])


def destroy_keys(*, ring: str, key_ids: Iterable[UUID]) -> None:
    """The same for many keys."""
    open_ring(ring).destroy(key_ids)


def delete_key_history(*, ring: str) -> None:
    """Have the ring's server drop what its journal and snapshots still keep of destroyed keys."""
    open_ring(ring).key_store.delete_history()


def sweep_expired_keys() -> list[UUID]:
    """Erase the keys of photos whose time is over, whoever they belong to; their ids."""
    return open_ring("source").sweep_expired()


def source_keyring_epoch() -> UUID:
    """Return a random id that is stored with the source ring's keys. A new id means that the ring was wiped."""
    return open_ring("source").epoch()


def write_blob(*, ring: str, key_id: UUID, kind: str, data: bytes) -> Blob:
    """Seal and store the bytes. Raises KeyGone or VaultUnavailable, and then leaves nothing readable behind."""
    keys, store = open_ring(ring), blob_store()
    blob = Blob(ring=ring, key_id=key_id, kind=kind, size=len(data))
    store.write(name_of(blob), encrypt(data, keys.cipher(key_id), _label(blob)))
    blob.save(force_insert=True)
    # A purge between the first look at the key and this row did not see it. From here on one does.
    if not keys.has(key_id):
        delete_blob(blob)
        raise KeyGone(key_id)
    return blob


def stream_blob(blob: Blob) -> Iterator[bytes]:
    """The bytes in chunks of 1 MiB, each verified before it is released.

    The key and the first chunk are looked at before this returns, so a dead key is an exception here and
    no half response. Raises KeyGone, BlobMissing, BlobCorrupt, VaultUnavailable; the last two also later, while it
    is read.
    """
    chunks = _plain_chunks(blob)
    return chain([next(chunks)], chunks)


def read_blob(blob: Blob) -> bytes:
    """The bytes, whole and verified. Raises KeyGone, BlobMissing, BlobCorrupt, VaultUnavailable."""
    return b"".join(_plain_chunks(blob))


def delete_blob(blob: Blob) -> None:
    """Remove file and row. Safe to repeat."""
    blob_store().delete([name_of(blob)])
    Blob.objects.filter(id=blob.id).delete()


def delete_files(*, ring: str, key_ids: Collection[UUID]) -> set[UUID]:
    """Remove the files of all that was sealed with these keys and leave the rows; the blobs' ids. Safe to repeat."""
    ids = set(_blobs(ring, key_ids).values_list("id", flat=True))
    blob_store().delete([BlobName(ring, blob_id) for blob_id in ids])
    return ids


def delete_blobs(*, ring: str, key_ids: Collection[UUID], gone: Collection[UUID] = ()) -> dict[UUID, Counter[str]]:
    """Remove all that was sealed with these keys, files before rows; key id -> kind -> how many rows. Safe to repeat
    and to resume.

    `gone`: blobs whose files have been removed already, so that a transaction need not wait for a store.
    Rows that refer to the blobs must be gone by the commit, else it fails with Django's IntegrityError."""
    counts: dict[UUID, Counter[str]] = {key_id: Counter() for key_id in key_ids}
    ids = []
    for blob_id, key_id, kind in _blobs(ring, key_ids).values_list("id", "key_id", "kind"):
        ids.append(blob_id)
        counts[key_id][kind] += 1
    blob_store().delete([BlobName(ring, blob_id) for blob_id in ids if blob_id not in gone])
    # These and no others: a row that comes this moment still names a file.
    for start in range(0, len(ids), BATCH_SIZE):
        blobs = Blob.objects.filter(id__in=ids[start : start + BATCH_SIZE])
        # Straight away: Django's own way asks eight tables, in which a row may refer to a blob, for these.
        blobs._raw_delete(blobs.db)
    return counts


def blob_store() -> BlobStore:
    """Where the blobs of this installation lie."""
    if settings.HEADSHOTS_S3_BUCKET:
        client = s3_client(settings.HEADSHOTS_S3_ENDPOINT, settings.HEADSHOTS_S3_REGION)
        return S3Store(client, settings.HEADSHOTS_S3_BUCKET, settings.HEADSHOTS_S3_PREFIX)
    return FileStore(settings.HEADSHOTS_DATA_DIR / "blobs")


def name_of(blob: Blob) -> BlobName:
    return BlobName(blob.ring, blob.id)


def _plain_chunks(blob: Blob) -> Iterator[bytes]:
    key = open_ring(blob.ring).cipher(blob.key_id)
    try:
        with blob_store().open(name_of(blob)) as file:
            yield from decrypt(file, key, _label(blob))
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise BlobCorrupt(blob.id, "the disk cannot read it") from error


def _label(blob: Blob) -> Label:
    return Label(blob.id, blob.key_id, blob.kind)


def _blobs(ring: str, key_ids: Collection[UUID]) -> QuerySet[Blob]:
    return Blob.objects.filter(ring=ring, key_id__in=key_ids)
