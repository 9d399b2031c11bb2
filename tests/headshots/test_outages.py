"""A bucket that answers 503 for a while, a ring that is away, a full disk, a wrong clock: late, never wrong."""

import errno
import io
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import LazySettings
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from headshots import engine
from headshots.accounts.models import User
from headshots.retention.audit import audit
from headshots.retention.due import purge_due
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.models import Headshot, Pack, Photo, Shoot
from headshots.shoots.packs import rendering
from headshots.shoots.uploads import photo_checks
from headshots.vault import services as vault
from headshots.vault.errors import KeyGone, VaultUnavailable
from headshots.vault.models import Blob, Ring
from headshots.vault.rings import open_ring, ring_folder
from tests.helpers import photos
from tests.helpers.factories import check_once, clean_once, make_checked_shoot, make_delivered, make_shoot, seed_styles
from tests.helpers.servers import Gate

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

HOUR = timedelta(hours=1)
NO_SPACE = "We’re out of storage space right now. Nothing was saved. Please try again later."
NOT_SAVED = "We couldn't save your upload. Nothing was saved. Please try again in a few minutes."


@pytest.fixture(autouse=True)
def folders(settings: LazySettings, tmp_path: Path) -> None:
    settings.HEADSHOTS_DATA_DIR = tmp_path / "data"
    settings.HEADSHOTS_PHOTO_KEYS_DIR = tmp_path / "source"
    settings.HEADSHOTS_HEADSHOT_KEYS_DIR = tmp_path / "result"
    (tmp_path / "data").mkdir()


@pytest.fixture(autouse=True)
def each_photo_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same photo everywhere, and not what goes wrong here."""
    monkeypatch.setattr(engine, "clean_upload", clean_once)
    monkeypatch.setattr(engine, "check", check_once)


@pytest.fixture(autouse=True)
def styles(db: None) -> None:
    seed_styles()


@pytest.fixture
def s3(settings: LazySettings, gate: Gate, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Blobs in a bucket whose door a test can shut; nobody pauses between two tries."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.01)
    settings.HEADSHOTS_S3_ENDPOINT, settings.HEADSHOTS_S3_BUCKET = gate.endpoint, bucket
    settings.HEADSHOTS_S3_PREFIX = f"{uuid4()}/"
    return gate


@pytest.fixture
def ring_away(settings: LazySettings, tmp_path: Path) -> Iterator[None]:
    settings.HEADSHOTS_PHOTO_KEYS_URL = f"unix://{tmp_path}/nobody.sock"


@pytest.fixture
def browser(client: Client, person: User) -> Client:
    client.force_login(person)
    return client


def upload(client: Client):
    file = io.BytesIO(photos.astronaut_path().read_bytes())
    file.name = "me.png"
    return client.post("/shoots/new/", {"photos": file, "consent": "on", "is_me": "on", "submission": str(uuid4())})


def files() -> list[object]:
    return [blob_id for ring in Ring for blob_id in vault.blob_store().ids(ring)]


# A bucket that answers 503 -------------------------------------------------------------------------------------------


def test_an_upload_during_an_outage_is_refused_in_plain_words_and_keeps_nothing(browser, s3):
    s3.shut = True
    refused = upload(browser)

    assert refused.status_code == 503
    assert NOT_SAVED in refused.context["form"].non_field_errors()
    assert not Shoot.objects.exists()
    assert not Blob.objects.exists()
    assert open_ring("source").key_ids() == []
    s3.shut = False
    assert files() == []
    assert upload(browser).status_code == 302


def test_a_check_waits_for_the_bucket_and_counts_no_try(s3):
    shoot = make_shoot()
    photo = shoot.photos.get()
    s3.shut = True
    for _ in range(5):
        photo_checks.check_photo(photo=photo)
    photo.refresh_from_db()
    assert (photo.state, photo.checks) == (Photo.State.UPLOADED, 0)

    s3.shut = False
    photo_checks.check_photo(photo=photo)

    photo.refresh_from_db()
    assert photo.state == Photo.State.ACCEPTED


def test_a_pack_waits_for_the_bucket_and_counts_no_try(s3, settings):
    settings.HEADSHOTS_PREVIEW_COUNT = 2
    pack = make_checked_shoot().packs.get()
    s3.shut = True
    for _ in range(5):
        rendering.render_pack(pack=pack)
    assert set(pack.headshots.values_list("state", "attempts")) == {(Headshot.State.PENDING, 0)}

    s3.shut = False
    rendering.render_pack(pack=pack)

    pack.refresh_from_db()
    assert pack.state == Pack.State.DELIVERED


def test_a_headshot_that_cannot_be_fetched_now_is_not_called_gone(s3, client):
    pack = make_delivered()
    client.force_login(pack.shoot.owner)
    address = reverse("shoots:headshot", args=[pack.shoot_id, pack.headshots.first().pk])

    s3.shut = True
    assert client.get(address).status_code == 503
    s3.shut = False
    assert client.get(address).status_code == 200


def test_a_purge_destroys_the_keys_at_once_and_the_files_as_soon_as_the_bucket_is_back(s3, settings):
    shoot = make_shoot()
    blob = shoot.photos.get().blob
    # Not with another clock: the bucket refuses signatures of another day. And only now: a slow machine needs the key.
    settings.HEADSHOTS_PHOTO_TTL_SECONDS = 1
    Shoot.objects.update(delete_after=timezone.now())
    s3.shut = True

    assert purge_due().failed == 1
    shoot.refresh_from_db()
    assert shoot.state == Shoot.State.PURGING
    assert open_ring("source").key_ids() == []
    with pytest.raises(KeyGone):
        vault.read_blob(blob)
    time.sleep(1.1)
    assert purge_due().failed == 1
    assert not audit().ok
    s3.shut = False
    assert {finding.what for finding in audit().findings if finding.is_over} == {"photo files", "photo rows"}

    assert purge_due().shoots == 1

    assert list(vault.blob_store().ids("source")) == []
    assert audit().ok


def test_an_outage_in_the_middle_of_many_purges_is_met_once_not_once_for_each(s3, monkeypatch):
    monkeypatch.setattr("headshots.retention.due.BATCH_SIZE", 2)
    for _ in range(6):
        begin_purge(make_shoot())
    s3.shut, s3.refused = True, 0

    assert purge_due().failed == 1
    assert s3.refused <= 4  # one request and what is tried again of it

    s3.shut = False
    assert purge_due().shoots == 6


# A ring that is away -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ring_away")
def test_an_upload_without_a_ring_is_refused_and_keeps_nothing(browser):
    refused = upload(browser)

    assert refused.status_code == 503
    assert NOT_SAVED in refused.context["form"].non_field_errors()
    assert not Shoot.objects.exists()
    assert files() == []


def test_a_ring_that_is_away_is_not_taken_for_a_lost_one(settings, tmp_path, time_machine):
    shoot = make_shoot()
    photo = shoot.photos.get()
    settings.HEADSHOTS_PHOTO_KEYS_URL = f"unix://{tmp_path}/nobody.sock"
    photo_checks.check_photo(photo=photo)
    purged = purge_due()
    shoot.refresh_from_db()
    photo.refresh_from_db()
    assert (shoot.state, photo.state, photo.checks) == (Shoot.State.OPEN, Photo.State.UPLOADED, 0)
    assert purged.failed > 0

    settings.HEADSHOTS_PHOTO_KEYS_URL = ""
    photo_checks.check_photo(photo=photo)

    photo.refresh_from_db()
    assert photo.state == Photo.State.ACCEPTED


def test_what_is_due_while_the_ring_is_away_is_shown_to_nobody_and_goes_when_it_is_back(settings, tmp_path):
    shoot = make_checked_shoot()
    Shoot.objects.update(delete_after=timezone.now())
    settings.HEADSHOTS_PHOTO_KEYS_URL = f"unix://{tmp_path}/nobody.sock"
    purge_due()
    shoot.refresh_from_db()
    assert shoot.state == Shoot.State.PURGING
    assert Photo.objects.exists()

    settings.HEADSHOTS_PHOTO_KEYS_URL = ""

    assert purge_due().shoots == 1
    assert not Photo.objects.exists()


# A store or a database that has no room, or does not answer -----------------------------------------------------------


def sqlite_error(code: int) -> OperationalError:
    """What Django raises for this result of SQLite's."""
    cause, error = sqlite3.OperationalError("of SQLite"), OperationalError("of Django")
    cause.sqlite_errorcode = code
    error.__cause__ = cause
    return error


def postgresql_error(cause: psycopg.OperationalError) -> OperationalError:
    error = OperationalError("of Django")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), NO_SPACE),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), NO_SPACE),
        (sqlite_error(sqlite3.SQLITE_FULL), NO_SPACE),
        (postgresql_error(psycopg.errors.DiskFull("could not extend file")), NO_SPACE),
        (OSError(errno.EROFS, "Read-only file system"), NOT_SAVED),
        (PermissionError(errno.EACCES, "Permission denied"), NOT_SAVED),
        (VaultUnavailable("the bucket is unreachable"), NOT_SAVED),
        (KeyGone(UUID(int=1)), NOT_SAVED),
        (sqlite_error(sqlite3.SQLITE_BUSY), NOT_SAVED),
        (postgresql_error(psycopg.errors.ConnectionTimeout("timeout expired")), NOT_SAVED),
        (OperationalError("the connection is closed"), NOT_SAVED),
    ],
    ids=lambda value: str(value).replace(" ", "_")[:40],
)
def test_an_upload_that_cannot_be_stored_says_whether_there_is_no_room(browser, monkeypatch, error, words):
    def fail(**_arguments: object) -> None:
        raise error

    monkeypatch.setattr(vault, "write_blob", fail)

    refused = upload(browser)

    assert refused.status_code == 503
    assert refused.context["form"].non_field_errors() == [words]
    assert not Shoot.objects.exists()


# A full disk ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(settings: LazySettings, tmp_path: Path) -> Iterator[Path]:
    """The blobs on a disk of one megabyte."""
    folder = tmp_path / "data" / "blobs"
    folder.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False)
    if mounted.returncode != 0:
        pytest.skip("only root can make a disk of one megabyte")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_an_upload_to_a_full_disk_keeps_nothing_and_a_purge_makes_room(browser, small_disk):
    first = upload(browser)
    assert first.status_code == 302
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_000_000 - sum(path.stat().st_size for path in small_disk.rglob("*") if path.is_file())))
    kept = files()

    refused = upload(browser)

    assert refused.status_code == 503
    assert NO_SPACE in refused.context["form"].non_field_errors()
    assert files() == kept
    assert Shoot.objects.count() == 1
    assert len(open_ring("source").key_ids()) == 1
    assert list(small_disk.rglob("*.tmp")) == []
    # A purge needs no room.
    begin_purge(Shoot.objects.get())
    assert purge_due().shoots == 1
    assert files() == []


# A wrong clock -------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_ahead_kills_what_it_passed_before_beat_comes(time_machine):
    shoot = make_checked_shoot()
    blob = shoot.photos.get().blob
    time_machine.move_to(timezone.now() + timedelta(days=1))

    with pytest.raises(KeyGone):
        vault.read_blob(blob)
    assert purge_due().shoots == 1
    assert not Blob.objects.filter(ring="source").exists()


def test_a_clock_that_is_set_back_takes_photos_early_and_tells_their_person_so(time_machine):
    pack = make_checked_shoot().packs.get()
    time_machine.move_to(timezone.now() - 2 * HOUR)

    assert purge_due().shoots == 1

    pack.refresh_from_db()
    assert (pack.state, pack.reason) == (Pack.State.DELETED, Pack.Reason.PHOTOS_LOST)
    assert open_ring("source").key_ids() == []


def test_a_clock_that_jumps_there_and_back_leaves_nothing_and_harms_nobody_who_comes_after(time_machine):
    now = timezone.now()
    time_machine.move_to(now + timedelta(days=400))
    make_checked_shoot()
    time_machine.move_to(now)
    purge_due()
    assert not Photo.objects.exists()

    shoot = make_checked_shoot()
    purge_due()

    shoot.refresh_from_db()
    assert shoot.state == Shoot.State.OPEN
    assert vault.read_blob(shoot.photos.get().blob)


# A photo whose file is lost or spoiled -------------------------------------------------------------------------------


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "corrupt"])
def test_a_photo_whose_file_cannot_be_read_is_called_a_fault_of_the_storage(
    client, caplog, settings: LazySettings, is_there: bool
):
    pack = make_checked_shoot().packs.get()
    blob = pack.shoot.photos.get().blob
    (file,) = (settings.HEADSHOTS_DATA_DIR / "blobs").rglob(f"{blob.pk}*")
    file.write_bytes(b"damaged") if is_there else file.unlink()
    Pack.objects.filter(pk=pack.pk).update(consecutive_failures=2)

    rendering.render_pack(pack=pack)

    pack.refresh_from_db()
    assert (pack.state, pack.reason) == (Pack.State.FAILED, Pack.Reason.STORAGE_FAILED)
    assert str(blob.pk) in caplog.text
    client.force_login(pack.shoot.owner)
    assert "Your photo is fine" in client.get(pack.shoot.get_absolute_url()).content.decode()


# The ring lost in mid-work -------------------------------------------------------------------------------------------


def test_a_worker_that_finds_the_ring_lost_ends_the_shoot_and_its_person_may_try_again(client):
    pack = make_checked_shoot().packs.get()
    for path in ring_folder(Ring.SOURCE).iterdir():
        path.unlink()

    rendering.render_pack(pack=pack)
    purge_due()

    pack.refresh_from_db()
    assert (pack.ended_as, pack.reason) == (Pack.State.CANCELED, Pack.Reason.PHOTOS_LOST)
    client.force_login(pack.shoot.owner)
    page = client.get(pack.shoot.get_absolute_url()).content.decode()
    assert "Upload your photo again" in page
    assert upload(client).status_code == 302


def test_a_check_that_finds_the_ring_lost_ends_the_shoot():
    shoot = make_shoot()
    for path in ring_folder(Ring.SOURCE).iterdir():
        path.unlink()

    photo_checks.check_photo(photo=shoot.photos.get())

    shoot.refresh_from_db()
    assert shoot.state == Shoot.State.PURGING


# Too late ------------------------------------------------------------------------------------------------------------


def test_a_late_check_or_render_or_a_message_that_comes_twice_stores_nothing():
    pack = make_checked_shoot().packs.get()
    photo = pack.shoot.photos.get()
    begin_purge(pack.shoot, everything=True)
    purge_due()

    photo_checks.check_photo(photo=photo)
    rendering.render_pack(pack=pack)
    rendering.render_pack(pack=pack)
    photo_checks.resolve_identity(shoot=pack.shoot)

    assert files() == []
    assert not Blob.objects.exists()
    assert not Headshot.objects.exists()
    assert [ring for ring in Ring if open_ring(ring).key_ids()] == []


def test_a_picture_that_is_finished_after_the_purge_is_not_stored(monkeypatch):
    pack = make_checked_shoot().packs.get()
    write_files = rendering._write_files

    def purged_meanwhile(pack, finished):
        begin_purge(pack.shoot, everything=True)
        purge_due()
        return write_files(pack, finished)

    monkeypatch.setattr(rendering, "_write_files", purged_meanwhile)
    rendering.render_pack(pack=pack)

    assert files() == []
    assert not Blob.objects.exists()


def test_a_verdict_that_comes_after_the_purge_is_not_stored(monkeypatch):
    shoot = make_shoot()
    write = vault.write_blob

    def purged_meanwhile(**arguments):
        monkeypatch.setattr(vault, "write_blob", write)
        begin_purge(shoot)
        purge_due()
        return write(**arguments)

    monkeypatch.setattr(vault, "write_blob", purged_meanwhile)
    photo_checks.check_photo(photo=shoot.photos.get())

    assert files() == []
    assert not Blob.objects.exists()


def test_a_store_that_is_away_raises_what_everybody_waits_for(s3):
    s3.shut = True

    with pytest.raises(VaultUnavailable):
        next(vault.blob_store().ids("source"))
