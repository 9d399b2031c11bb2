"""The vault as others use it: bytes in, bytes out, ciphertext on disk, and nothing without its key."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import time_machine
from django.conf import LazySettings

from headshots.vault import services as vault
from headshots.vault.blob_ids import new_blob_id
from headshots.vault.errors import BlobCorrupt, BlobMissing, KeyGone
from headshots.vault.format import CHUNK_BYTES
from headshots.vault.models import Blob
from headshots.vault.services import blob_store, name_of
from headshots.vault.store import BlobName, FileStore

pytestmark = pytest.mark.django_db

PICTURE = b"\xff\xd8\xff\xe0 a picture of somebody" * 100


@pytest.fixture(autouse=True)
def data_folder(settings: LazySettings, tmp_path: Path) -> Path:
    settings.HEADSHOTS_DATA_DIR = tmp_path / "data"
    settings.HEADSHOTS_PHOTO_KEYS_DIR = tmp_path / "source"
    settings.HEADSHOTS_HEADSHOT_KEYS_DIR = tmp_path / "result"
    return tmp_path / "data"


@pytest.fixture
def pack_id():
    key_id = uuid4()
    vault.create_key(ring="result", key_id=key_id)
    return key_id


def write(key_id, data: bytes = PICTURE) -> Blob:
    return vault.write_blob(ring="result", key_id=key_id, kind="headshot", data=data)


def path_of(blob: Blob) -> Path:
    store = blob_store()
    assert isinstance(store, FileStore)
    return store.path(name_of(blob))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 5])
def test_what_was_written_is_read_and_streamed(pack_id, size):
    data = os.urandom(size)
    blob = Blob.objects.get(id=write(pack_id, data).id)

    assert vault.read_blob(blob) == data
    assert b"".join(vault.stream_blob(blob)) == data
    assert (blob.size, blob.ring, blob.key_id, blob.kind) == (size, "result", pack_id, "headshot")


def test_nothing_below_the_data_folder_holds_the_bytes(data_folder, pack_id):
    write(pack_id)

    assert [path.name for path in files(data_folder)].count("id") == 1
    assert not any(b"picture of somebody" in path.read_bytes() for path in files(data_folder))
    assert not any(path.read_bytes().startswith(b"\xff\xd8") for path in files(data_folder))


def test_blobs_are_sharded_and_for_this_user_only(data_folder, pack_id):
    blob = write(pack_id)
    path = path_of(blob)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    folders = [path.parent, path.parent.parent, path.parent.parent.parent]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700] * 3


def test_without_a_key_nothing_is_stored(data_folder):
    with pytest.raises(KeyGone):
        write(uuid4())

    assert not Blob.objects.exists()
    assert [path.name for path in files(data_folder)] == ["id"]


def test_a_late_write_after_the_key_died_leaves_nothing_behind(data_folder, pack_id):
    vault.destroy_key(ring="result", key_id=pack_id)

    with pytest.raises(KeyGone):
        write(pack_id)
    assert not Blob.objects.exists()
    assert [path.name for path in files(data_folder)] == ["id"]


def test_a_key_that_dies_during_the_write_takes_the_blob_with_it(data_folder, pack_id, monkeypatch):
    store_write = FileStore.write

    def purged_meanwhile(self, blob_id, chunks):
        store_write(self, blob_id, chunks)
        # What a purge in another process does, which sees no row of this blob yet.
        vault.destroy_key(ring="result", key_id=pack_id)
        vault.delete_blobs(ring="result", key_ids=[pack_id])

    monkeypatch.setattr(FileStore, "write", purged_meanwhile)

    with pytest.raises(KeyGone):
        write(pack_id)
    assert not Blob.objects.exists()
    assert [path.name for path in files(data_folder)] == ["id"]


def test_a_write_that_fails_half_way_leaves_no_file(data_folder):
    def broken():
        yield b"first chunk"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        blob_store().write(BlobName("result", new_blob_id()), broken())
    assert files(data_folder) == []


def test_a_blob_whose_key_is_destroyed_cannot_be_read_though_its_file_is_there(pack_id):
    blob = write(pack_id)
    vault.destroy_key(ring="result", key_id=pack_id)

    assert path_of(blob).exists()
    with pytest.raises(KeyGone):
        vault.read_blob(blob)
    with pytest.raises(KeyGone):
        vault.stream_blob(blob)


def test_a_copy_of_the_file_and_a_new_key_under_the_same_id_do_not_bring_it_back(pack_id):
    blob = write(pack_id)
    vault.destroy_key(ring="result", key_id=pack_id)
    vault.create_key(ring="result", key_id=pack_id)

    with pytest.raises(BlobCorrupt):
        vault.read_blob(blob)


def test_a_photo_cannot_be_read_once_its_key_has_expired_although_nobody_purged():
    now, key_id = datetime(2026, 11, 21, tzinfo=UTC), uuid4()
    with time_machine.travel(now, tick=False) as clock:
        vault.create_key(ring="source", key_id=key_id, expires_at=now + timedelta(hours=24))
        blob = vault.write_blob(ring="source", key_id=key_id, kind="photo", data=PICTURE)
        clock.shift(timedelta(hours=24))

        assert not vault.key_exists(ring="source", key_id=key_id)
        with pytest.raises(KeyGone):
            vault.read_blob(blob)


def test_a_missing_file_is_told_before_the_first_byte(pack_id):
    blob = write(pack_id)
    blob_store().delete([name_of(blob)])

    with pytest.raises(BlobMissing):
        vault.stream_blob(blob)


def test_a_file_under_another_blobs_name_is_refused(data_folder, pack_id):
    mine, other = write(pack_id, b"mine"), write(pack_id, b"other")
    paths = [path_of(blob) for blob in (mine, other)]
    paths[0].write_bytes(paths[1].read_bytes())

    with pytest.raises(BlobCorrupt):
        vault.read_blob(mine)


def test_damage_in_the_first_chunk_is_told_before_the_first_byte(data_folder, pack_id):
    blob = write(pack_id)
    path = path_of(blob)
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(BlobCorrupt):
        vault.stream_blob(blob)


def test_a_stream_that_nobody_reads_to_the_end_closes_its_file(pack_id):
    blob = write(pack_id, bytes(3 * CHUNK_BYTES))
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    stream = vault.stream_blob(blob)
    next(stream)
    del stream

    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_deleting_by_key_takes_files_and_rows_of_that_key_only(data_folder, pack_id):
    other_id = uuid4()
    vault.create_key(ring="result", key_id=other_id)
    other = write(other_id)
    write(pack_id), write(pack_id)

    assert vault.delete_blobs(ring="result", key_ids=[pack_id]) == {pack_id: {"headshot": 2}}
    assert vault.delete_blobs(ring="result", key_ids=[pack_id]) == {pack_id: {}}
    assert list(Blob.objects.all()) == [other]
    assert len(files(data_folder / "blobs")) == 1


def test_files_can_go_before_their_rows(data_folder, pack_id):
    write(pack_id)

    vault.delete_files(ring="result", key_ids=[pack_id])
    vault.delete_files(ring="result", key_ids=[pack_id])

    assert files(data_folder / "blobs") == []
    assert Blob.objects.count() == 1


def test_deleting_a_blob_twice_is_no_error(data_folder, pack_id):
    blob = write(pack_id)

    vault.delete_blob(blob)
    vault.delete_blob(blob)

    assert files(data_folder / "blobs") == []
    assert not Blob.objects.exists()


def test_an_unknown_ring_is_an_error():
    with pytest.raises(ValueError, match="elsewhere"):
        vault.create_key(ring="elsewhere", key_id=uuid4())


def test_the_row_of_a_blob_shows_ids_only(pack_id):
    blob = write(pack_id)

    assert str(blob) == f"headshot {blob.id}"
    assert "picture" not in repr(blob)
