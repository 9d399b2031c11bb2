"""Facade of the vault: write, read and delete encrypted blobs, and destroy their keys."""

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

# Values per statement. SQLite allows 32,766 and PostgreSQL 65,535. Lists of this length are fast in both.
BATCH_SIZE = 500


def create_key(*, ring: str, key_id: UUID, expires_at: datetime | None = None) -> None:
    """Create the key of a shoot (ring "source", must expire within 24 hours) or a pack (ring "result").

    An existing key is not changed. Call this once per id, when the shoot or pack is created. Never call it after
    KeyGone. Raises UnsafeRing, VaultUnavailable, and ValueError for an expiry that the ring does not allow.
    """
    open_ring(ring).create(key_id, expires_at)


def key_exists(*, ring: str, key_id: UUID) -> bool:
    """Return True if the key exists and has not expired. An expired key is erased. Raises VaultUnavailable."""
    return open_ring(ring).has(key_id)


def destroy_key(*, ring: str, key_id: UUID) -> None:
    """Erase one key with `destroy_keys`."""
    destroy_keys(ring=ring, key_ids=[key_id])


def destroy_keys(*, ring: str, key_ids: Iterable[UUID]) -> None:
    """Erase these keys, so that no copy of their blobs can be decrypted anymore.

    Safe to repeat. Raises VaultUnavailable."""
    open_ring(ring).destroy(key_ids)


def delete_key_history(*, ring: str) -> None:
    """Have the ring's server remove destroyed keys from its journal and snapshots. Raises VaultUnavailable."""
    open_ring(ring).key_store.delete_history()


def sweep_expired_keys() -> list[UUID]:
    """Erase all expired keys of photos. Returns their ids."""
    return open_ring("source").sweep_expired()


def source_keyring_epoch() -> UUID:
    """Return a random id that is stored with the source ring's keys. A new id means that the ring was wiped."""
    return open_ring("source").epoch()


def write_blob(*, ring: str, key_id: UUID, kind: str, data: bytes) -> Blob:
    """Encrypt and store the bytes. Raises KeyGone, VaultUnavailable.

    After KeyGone nothing readable is left. A blob left after VaultUnavailable is removed by the sweep of orphans."""
    keys, store = open_ring(ring), blob_store()
    blob = Blob(ring=ring, key_id=key_id, kind=kind, size=len(data))
    store.write(name_of(blob), encrypt(data, keys.cipher(key_id), _label(blob)))
    blob.save(force_insert=True)
    # Check the key again. A purge that ran before the row was saved did not find this blob.
    if not keys.has(key_id):
        delete_blob(blob)
        raise KeyGone(key_id)
    return blob


def stream_blob(blob: Blob) -> Iterator[bytes]:
    """Decrypt a blob in chunks of 1 MiB. Each chunk is verified before it is returned.

    The key and the first chunk are checked before this function returns. Errors therefore occur before a response
    begins. Raises KeyGone, BlobMissing, BlobCorrupt, VaultUnavailable. The iterator can raise the last two as well.
    """
    chunks = _plain_chunks(blob)
    return chain([next(chunks)], chunks)


def read_blob(blob: Blob) -> bytes:
    """Decrypt and verify a whole blob. Raises KeyGone, BlobMissing, BlobCorrupt, VaultUnavailable."""
    return b"".join(_plain_chunks(blob))


def delete_blob(blob: Blob) -> None:
    """Delete the file and the row of a blob. Safe to repeat. Raises VaultUnavailable."""
    blob_store().delete([name_of(blob)])
    Blob.objects.filter(id=blob.id).delete()


def delete_files(*, ring: str, key_ids: Collection[UUID]) -> set[UUID]:
    """Delete the files of all blobs of these keys, but not the rows. Returns the blobs' ids.

    Safe to repeat. Raises VaultUnavailable."""
    ids = set(_blobs(ring, key_ids).values_list("id", flat=True))
    blob_store().delete([BlobName(ring, blob_id) for blob_id in ids])
    return ids


def delete_blobs(*, ring: str, key_ids: Collection[UUID], gone: Collection[UUID] = ()) -> dict[UUID, Counter[str]]:
    """Delete all blobs of these keys, files before rows. Returns key id -> kind -> number of deleted rows.

    gone: ids of blobs whose files are already deleted, so that a transaction need not wait for the store.
    Safe to repeat. Rows that refer to the blobs must be deleted before the commit. Otherwise the commit raises
    IntegrityError."""
    counts: dict[UUID, Counter[str]] = {key_id: Counter() for key_id in key_ids}
    ids = []
    for blob_id, key_id, kind in _blobs(ring, key_ids).values_list("id", "key_id", "kind"):
        ids.append(blob_id)
        counts[key_id][kind] += 1
    blob_store().delete([BlobName(ring, blob_id) for blob_id in ids if blob_id not in gone])
    # Delete only the rows listed above, because the file of a row added since then still exists.
    for start in range(0, len(ids), BATCH_SIZE):
        blobs = Blob.objects.filter(id__in=ids[start : start + BATCH_SIZE])
        # Use a raw delete. Django's collector would query the eight tables that can refer to a blob.
        blobs._raw_delete(blobs.db)
    return counts


def blob_store() -> BlobStore:
    """Return the store of this installation's blobs: the S3 bucket in the settings, or a folder."""
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
