"""What every store of blobs promises, in a folder and in a bucket of a real server; and what only one of them does."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from headshots.vault import s3_store
from headshots.vault.blob_ids import FIRST, LAST, created_at_of, first_id_at, new_blob_id
from headshots.vault.errors import BlobMissing, VaultUnavailable
from headshots.vault.s3_store import S3Store, anybody_can_list, s3_client
from headshots.vault.store import BlobName, BlobStore, FileStore
from tests.helpers.servers import Gate, S3Server

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return FileStore(tmp_path / "blobs") if request.param == "folder" else request.getfixturevalue("in_bucket")


@pytest.fixture
def in_bucket(s3_server: S3Server, bucket: str, prefix: str) -> S3Store:
    return S3Store(s3_client(s3_server.endpoint, ""), bucket, prefix)


@pytest.fixture
def behind_gate(gate: Gate, bucket: str, prefix: str) -> S3Store:
    return S3Store(s3_client(gate.endpoint, ""), bucket, prefix)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the pauses between two tries."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.01)


def named(ring: str = "source", at: datetime | None = None) -> BlobName:
    if at is None:
        return BlobName(ring, new_blob_id())
    with time_machine.travel(at, tick=False):
        return BlobName(ring, new_blob_id())


def read(store: BlobStore, name: BlobName) -> bytes:
    with store.open(name) as file:
        return file.read()


# Ids ----------------------------------------------------------------------------------------------------------------


def test_ids_sort_by_the_time_they_were_made_and_tell_it():
    ids = [named(at=NOW + timedelta(milliseconds=step)).blob_id for step in range(5)]

    assert ids == sorted(ids)
    assert [created_at_of(blob_id) for blob_id in ids] == [NOW + timedelta(milliseconds=step) for step in range(5)]
    assert first_id_at(NOW) <= ids[0] < first_id_at(NOW + timedelta(milliseconds=1)) <= ids[1]
    assert {(blob_id.version, blob_id.variant) for blob_id in ids} == {(7, "specified in RFC 4122")}
    assert FIRST < ids[0] < ids[4] < LAST


def test_two_ids_of_one_moment_differ():
    assert len({named(at=NOW).blob_id for _ in range(1000)}) == 1000


# Every store --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [[], [b"a"], [b"", b"header", b"x" * 3_000_000], [bytes(1024 * 1024 + 16)] * 20])
def test_what_was_written_is_read_in_pieces_of_any_size(store, chunks):
    name = named()
    store.write(name, iter(chunks))

    with store.open(name) as file:
        pieces = iter(lambda: file.read(700_001), b"")
        assert b"".join(pieces) == b"".join(chunks)


def test_a_piece_is_as_long_as_was_asked_for_unless_the_file_ends(store):
    name = named()
    store.write(name, [os.urandom(5_000_000)])

    with store.open(name) as file:
        assert [len(file.read(2_000_000)) for _ in range(4)] == [2_000_000, 2_000_000, 1_000_000, 0]


def test_what_is_not_there_is_told_apart_from_what_does_not_answer(store):
    with pytest.raises(BlobMissing):
        store.open(named())


@pytest.mark.parametrize("megabytes", [0, 20])
def test_a_write_that_breaks_off_leaves_nothing_to_be_read(store, megabytes):
    name = named()

    def broken() -> Iterator[bytes]:
        yield from [bytes(1024 * 1024)] * megabytes
        raise RuntimeError("the key went")

    with pytest.raises(RuntimeError):
        store.write(name, broken())
    with pytest.raises(BlobMissing):
        store.open(name)
    assert list(store.ids("source")) == []


def test_deleting_takes_what_was_named_and_nothing_else_however_often(store):
    doomed, other = [named() for _ in range(3)], named()
    for name in [*doomed, other]:
        store.write(name, [b"noise"])

    store.delete(doomed)
    store.delete(doomed)
    store.delete([])

    assert list(store.ids("source")) == [other.blob_id]
    assert read(store, other) == b"noise"


def test_ids_come_oldest_first_within_their_ring_and_range(store):
    names = [named(at=NOW + step * HOUR) for step in range(12)]
    for name in [*reversed(names), named("result", NOW)]:
        store.write(name, [b"noise"])
    ids = [name.blob_id for name in names]

    assert list(store.ids("source")) == ids
    assert list(store.ids("source", ids[3], ids[8])) == ids[3:9]
    assert list(store.ids("source", first_id_at(NOW + 10 * HOUR))) == ids[10:]
    assert next(store.ids("source")) == ids[0]
    assert list(store.ids("elsewhere")) == []


# The folder ---------------------------------------------------------------------------------------------------------


def test_files_of_others_are_passed_over(tmp_path):
    store, name = FileStore(tmp_path), named()
    store.write(name, [b"noise"])
    for stranger in (tmp_path / "notes.txt", store.path(name).with_name(".DS_Store")):
        stranger.write_text("somebody else's")

    assert list(store.ids("source")) == [name.blob_id]


def test_old_left_overs_go_young_ones_stay_and_empty_folders_with_them(tmp_path):
    store = FileStore(tmp_path)
    old, young, kept = named(at=NOW - 30 * HOUR), named(at=NOW), named(at=NOW - 60 * HOUR)
    left_overs = [store.path(name).with_name(f"{name.blob_id}.0123456789abcdef.tmp") for name in (old, young)]
    for path in left_overs:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"cut short by a crash")
    store.write(kept, [b"noise"])

    assert store.sweep_unfinished(NOW - HOUR) == 1
    assert [path.exists() for path in left_overs] == [False, True]
    assert not left_overs[0].parent.exists()
    assert read(store, kept) == b"noise"


def test_a_full_disk_is_known_before_anything_is_written(tmp_path):
    store = FileStore(tmp_path / "not" / "there" / "yet")

    assert store.has_room(1)
    assert not store.has_room(1 << 60)


# The bucket ---------------------------------------------------------------------------------------------------------


def test_objects_lie_below_the_prefix_and_their_ring(in_bucket, bucket, prefix, s3_server):
    name = named()
    in_bucket.write(name, [b"noise"])

    listed = s3_client(s3_server.endpoint, "").list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    assert [found["Key"] for found in listed] == [f"{prefix}source/{name.blob_id}"]


def test_a_bucket_with_more_than_one_page_is_listed_and_emptied(s3_server, bucket, prefix, monkeypatch):
    """Pages and delete requests of 50 objects instead of a thousand."""
    pages = []

    def ask_for_small_pages(params: dict[str, object], **_: object) -> None:
        params["MaxKeys"] = 50
        pages.append(params)

    monkeypatch.setattr(s3_store, "_DELETE_BATCH_SIZE", 50)
    # A client of this test's own, because the product's is shared.
    client = s3_client.__wrapped__(s3_server.endpoint, "")
    client.meta.events.register("before-parameter-build.s3.ListObjectsV2", ask_for_small_pages)
    store = S3Store(client, bucket, prefix)
    names = sorted((named() for _ in range(110)), key=lambda name: name.blob_id)
    for name in names:
        store.write(name, [b"x"])

    assert list(store.ids("source")) == [name.blob_id for name in names]
    assert len(pages) == 3
    store.delete(names)
    assert list(store.ids("source")) == []


def test_an_upload_whose_last_part_never_came_is_swept_once_it_is_old(in_bucket, bucket, prefix, s3_server):
    client, key = s3_client(s3_server.endpoint, ""), f"{prefix}source/{new_blob_id()}"
    begun = client.create_multipart_upload(Bucket=bucket, Key=key)
    client.upload_part(Bucket=bucket, Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=bytes(5 * 1024 * 1024))

    assert in_bucket.sweep_unfinished(datetime.now(UTC) - HOUR) == 0
    assert in_bucket.sweep_unfinished(datetime.now(UTC) + HOUR) == 1
    assert not client.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads")


def test_a_private_bucket_shows_nothing_to_strangers_and_an_open_one_is_found_out(bucket, s3_server):
    assert not anybody_can_list(s3_server.endpoint, "", bucket)

    everybody = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:ListBucket"],'
        f'"Resource":["arn:aws:s3:::{bucket}"]}}]}}'
    )
    client = s3_client(s3_server.endpoint, "")
    client.put_bucket_policy(Bucket=bucket, Policy=everybody)
    is_open = anybody_can_list(s3_server.endpoint, "", bucket)
    client.delete_bucket_policy(Bucket=bucket)
    assert is_open


def test_a_short_outage_is_waited_for(behind_gate, gate, monkeypatch):
    name = named()

    def open_after_two(self: object, context: object) -> float:
        gate.shut = gate.refused < 2
        return 0.01

    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", open_after_two)
    gate.shut = True
    behind_gate.write(name, [b"noise"])

    assert gate.refused == 2
    assert read(behind_gate, name) == b"noise"


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "ask",
    [
        lambda store, name: store.write(named(), [b"noise"]),
        lambda store, name: store.open(name),
        lambda store, name: store.delete([name]),
        lambda store, name: list(store.ids("source")),
        lambda store, name: store.sweep_unfinished(NOW),
    ],
    ids=["write", "open", "delete", "ids", "sweep_unfinished"],
)
def test_a_long_outage_is_told_and_nothing_is_lost(behind_gate, gate, ask):
    name = named()
    behind_gate.write(name, [b"noise"])
    gate.shut = True

    with pytest.raises(VaultUnavailable):
        ask(behind_gate, name)
    gate.shut = False
    assert read(behind_gate, name) == b"noise"


def test_a_line_that_breaks_within_a_file_is_not_taken_for_its_end(behind_gate, gate):
    name = named()
    behind_gate.write(name, [bytes(3_000_000)])
    gate.cut_after = 1_000_000

    with pytest.raises(VaultUnavailable), behind_gate.open(name) as file:
        file.read()


def test_a_server_that_is_not_there_costs_seconds_not_minutes(bucket, patient):
    store = S3Store(s3_client("http://127.0.0.1:9", ""), bucket)
    began = time.monotonic()

    with pytest.raises(VaultUnavailable):
        store.open(named())
    assert time.monotonic() - began < s3_store.CONNECT_SECONDS


def test_wrong_credentials_are_told_without_repeating_them(s3_server, bucket, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong and secret")
    s3_client.cache_clear()
    store = S3Store(s3_client(s3_server.endpoint, ""), bucket)

    with pytest.raises(VaultUnavailable) as raised:
        store.open(named())
    s3_client.cache_clear()
    assert "SignatureDoesNotMatch" in str(raised.value)
    assert "wrong and secret" not in repr(raised.value)
