"""The ZIP of a pack, in little memory, and when something of it cannot be read: valid, and it says what is missing."""

import io
import tracemalloc
import zipfile

import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings
from django.test import AsyncClient, Client

from headshots.accounts.models import User
from headshots.shoots.models import Event, Pack
from headshots.vault.format import CHUNK_BYTES
from headshots.vault.services import blob_store, destroy_key, name_of, write_blob
from tests.helpers.factories import make_delivered
from tests.helpers.streaming_zip import read_forward

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


@pytest.fixture
def pack(person: User) -> Pack:
    return make_delivered(person)


def spoil(pack: Pack, index: int, harm: str) -> str:
    """Harm the file of this headshot; the id of its blob."""
    row = pack.headshots.get(index=index)
    path = blob_store().path(name_of(row.blob))
    data = path.read_bytes()
    if harm == "changed at its end":
        path.write_bytes(data[:-1] + b"?")
    else:
        path.unlink()
    if harm == "on a dying disk":
        # The start of a process' memory is no memory: reading it is a real input/output error.
        path.symlink_to("/proc/self/mem")
    return str(row.blob_id)


async def _ask(person: User, pack: Pack) -> tuple[int, str, bytes]:
    """Status, name and bytes."""
    browser = AsyncClient()
    await browser.aforce_login(person)
    response = await browser.get(f"/shoots/{pack.shoot_id}/packs/{pack.pk}/download.zip")
    if not response.streaming:
        return response.status_code, "", response.content
    body = b"".join([chunk async for chunk in response.streaming_content])
    assert len(body) == int(response["Content-Length"])
    return response.status_code, response["Content-Disposition"].split('"')[1], body


ask = async_to_sync(_ask)


@pytest.mark.parametrize(
    ("harm", "support"), [("changed at its end", ""), ("gone", "support@example.org"), ("on a dying disk", "")]
)
def test_what_cannot_be_read_is_named_and_the_rest_is_whole(
    person: User, pack: Pack, settings: LazySettings, caplog: pytest.LogCaptureFixture, harm: str, support: str
) -> None:
    settings.HEADSHOTS_ABUSE_EMAIL, settings.HEADSHOTS_SUPPORT_EMAIL = "help@example.org", support
    good = ask(person, pack)[1:]
    blob_id = spoil(pack, 0, harm)

    status, name, body = ask(person, pack)

    assert (good[0], status, name) == ("headshots.zip", 200, "headshots-incomplete.zip")
    with zipfile.ZipFile(io.BytesIO(good[1])) as all_files, zipfile.ZipFile(io.BytesIO(body)) as files:
        names = all_files.namelist()
        assert files.testzip() is None
        assert files.namelist() == [*names[1:], "MISSING.txt"]
        assert all(files.read(name) == all_files.read(name) for name in names[1:])
        missing = files.read("MISSING.txt").decode()
    assert names[0] in missing
    assert not any(name in missing for name in names[1:])
    assert (support or "help@example.org") in missing
    assert str(pack.pk) in missing
    (line,) = [record for record in caplog.records if record.name == "headshots.shoots.delivery.streams"]
    assert (line.levelname, blob_id in line.getMessage(), names[0] in line.getMessage()) == ("ERROR", True, False)
    event = Event.objects.get(name="pack.files_corrupt")
    assert (event.pack_id, event.numbers) == (pack.pk, {"files": 1})


def test_a_reader_of_streams_reads_the_pack(person: User, pack: Pack) -> None:
    _, _, body = ask(person, pack)

    with zipfile.ZipFile(io.BytesIO(body)) as files:
        assert read_forward(body) == {name: files.read(name) for name in files.namelist()}
    assert len(read_forward(body)) == 4 + 1


async def _count_bytes(person: User, pack: Pack) -> int:
    """The length of the ZIP, whose chunks are dropped as they come."""
    browser = AsyncClient()
    await browser.aforce_login(person)
    response = await browser.get(f"/shoots/{pack.shoot_id}/packs/{pack.pk}/download.zip")
    return sum([len(chunk) async for chunk in response.streaming_content])


def test_of_a_large_zip_only_a_piece_is_in_memory(person: User, pack: Pack) -> None:
    size = 10 * CHUNK_BYTES
    # The first ZIP of a process loads the template engine as well.
    ask(person, pack)
    for row in pack.headshots.all():
        row.blob = write_blob(ring="result", key_id=pack.pk, kind="headshot", data=bytes(size))
        row.save()
    tracemalloc.start()
    try:
        sent = async_to_sync(_count_bytes)(person, pack)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sent > 4 * size
    # A file is read, decrypted and sent in chunks, a few of which exist at once, and never as a whole.
    assert peak < size


def test_head_tells_the_length_and_sends_nothing(client: Client, person: User, pack: Pack) -> None:
    client.force_login(person)
    address = f"/shoots/{pack.shoot_id}/packs/{pack.pk}/download.zip"
    picture = f"/shoots/{pack.shoot_id}/headshots/{pack.headshots.get(index=0).pk}.jpg"

    head, image_head = client.head(address), client.head(picture)

    assert (head.status_code, head.streaming, head.content) == (200, False, b"")
    assert int(head["Content-Length"]) == len(ask(person, pack)[2])
    assert head["Content-Disposition"] == 'attachment; filename="headshots.zip"'
    assert image_head.status_code == 200
    assert int(image_head["Content-Length"]) == len(client.get(picture).content)


def test_without_an_address_the_page_that_says_who_runs_this_is_named(person: User, pack: Pack) -> None:
    for index in range(4):
        spoil(pack, index, "gone")

    _, _, body = ask(person, pack)

    with zipfile.ZipFile(io.BytesIO(body)) as files:
        assert files.namelist() == ["MISSING.txt"]
        assert "/privacy/" in files.read("MISSING.txt").decode()


def test_a_pack_that_is_deleted_at_this_moment_is_gone_without_a_word(
    person: User, pack: Pack, caplog: pytest.LogCaptureFixture
) -> None:
    destroy_key(ring="result", key_id=pack.pk)

    assert ask(person, pack)[0] == 404
    assert not [record for record in caplog.records if record.name == "headshots.shoots.delivery.streams"]
    assert not Event.objects.filter(name="pack.files_corrupt").exists()


def test_a_store_that_does_not_answer_breaks_nothing_off(
    person: User, pack: Pack, settings: LazySettings, s3_credentials: None
) -> None:
    settings.HEADSHOTS_S3_BUCKET, settings.HEADSHOTS_S3_ENDPOINT = "headshots", "http://127.0.0.1:9"

    status, _, body = ask(person, pack)

    assert (status, body) == (503, b"Please try again in a minute.")
