"""The pages of a shoot, as their owner, a stranger and nobody sees them."""

import errno
import io
import json
import os
import threading
import zipfile
from datetime import timedelta
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import AsyncClient, Client
from django.utils import timezone

from headshots.accounts.models import User
from headshots.engine import clean_upload
from headshots.shoots.models import Consent, Event, Pack, Photo, Shoot
from headshots.shoots.packs import recovery, rendering
from headshots.shoots.uploads import photo_checks
from headshots.shoots.uploads.new_shoot import NoPreviewsLeft, previews_left
from headshots.vault.models import Blob
from headshots.vault.services import blob_store, destroy_key, key_exists, name_of, read_blob
from tests.helpers import photos
from tests.helpers.factories import (
    cleaned_two_people,
    deliver,
    make_checked_shoot,
    make_delivered,
    make_preview,
    make_shoot,
    make_user,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

CONSENTS = {"consent": "on", "is_me": "on"}


@pytest.fixture
def browser(person: User, client: Client) -> Client:
    client.force_login(person)
    return client


def upload(browser: Client, *files: bytes, **form: str) -> "object":
    named = [_named(f"IMG_{number}.jpg", data) for number, data in enumerate(files)]
    return browser.post("/shoots/new/", {"photos": named, **(form or CONSENTS)})


def _named(name: str, data: bytes) -> io.BytesIO:
    file = io.BytesIO(data)
    file.name = name
    return file


def nothing_is_stored() -> bool:
    return not Shoot.objects.exists() and not Blob.objects.exists() and not Consent.objects.exists()


def test_an_upload_leads_to_its_shoot_with_consent_key_and_encrypted_photo(browser: Client, person: User) -> None:
    response = upload(browser, photos.astronaut_path().read_bytes())

    shoot = Shoot.objects.get()
    photo = shoot.photos.get()
    assert response.status_code == 302
    assert response.url == f"/shoots/{shoot.pk}/"
    assert shoot.owner == person
    assert shoot.consent.given_at <= shoot.created_at
    assert shoot.consent.consent_version
    assert shoot.consent.is_me_version
    assert key_exists(ring="source", key_id=shoot.pk)
    assert read_blob(photo.blob)[:2] == b"\xff\xd8"
    assert shoot.delete_after - shoot.created_at == timedelta(hours=24) - timedelta(minutes=5)


@pytest.mark.parametrize("missing", ["consent", "is_me"])
def test_without_both_consents_nothing_is_stored(browser: Client, missing: str) -> None:
    given = {name: "on" for name in CONSENTS if name != missing}

    response = upload(browser, photos.astronaut_path().read_bytes(), **given)

    assert response.status_code == 422
    assert missing in response.context["form"].errors
    assert nothing_is_stored()


def test_one_bad_file_refuses_the_upload_and_names_its_place_not_its_name(browser: Client) -> None:
    response = upload(browser, photos.astronaut_path().read_bytes(), b"not a photo at all")

    assert response.status_code == 422
    assert "t use photo 2" in response.content.decode()
    assert "IMG_1" not in response.content.decode()
    assert nothing_is_stored()


def test_no_file_an_empty_file_and_too_many_files_are_refused_in_the_form(browser: Client) -> None:
    astronaut = photos.astronaut_path().read_bytes()

    for files in ([], [b""], [astronaut] * 6):
        response = upload(browser, *files)
        assert response.status_code == 422
        assert response.context["form"].errors["photos"]
    assert nothing_is_stored()


def test_upload_asks_for_an_account_first(client: Client) -> None:
    response = client.get("/shoots/new/")

    assert response.status_code == 302
    assert response.url.startswith("/accounts/login/")


def test_a_good_photo_is_accepted_and_its_preview_queued(browser: Client, person: User) -> None:
    shoot = make_checked_shoot(person)

    body = browser.get(f"/shoots/{shoot.pk}/status.json").json()

    pack = Pack.objects.get()
    photo = Photo.objects.get()
    assert body == {
        "status": "open",
        "delete_after": shoot.delete_after.isoformat(),
        "photos": [{"id": str(photo.pk), "status": "accepted", "reasons": []}],
        "packs": [
            {"id": str(pack.pk), "kind": "preview", "status": "queued", "done": 0, "total": 4, "seconds_left": 21}
        ],
    }


def test_checking_twice_orders_one_preview(person: User) -> None:
    shoot = make_checked_shoot(person)

    photo_checks.check_photo(photo=shoot.photos.get())
    photo_checks.resolve_identity(shoot=shoot)

    assert Pack.objects.count() == 1


def test_a_photo_without_a_face_is_refused_and_orders_nothing(browser: Client, person: User) -> None:
    shoot = make_checked_shoot(person, clean_upload(photos.coffee_path().read_bytes()))

    page = browser.get(f"/shoots/{shoot.pk}/").content.decode()

    assert shoot.photos.get().reasons == ["no_face"]
    assert not Pack.objects.exists()
    assert 'data-live="no"' in page


def test_a_photo_that_kills_the_worker_three_times_is_refused() -> None:
    shoot = make_shoot()
    Photo.objects.update(checks=photo_checks.MAX_CHECKS)

    photo_checks.check_photo(photo=shoot.photos.get())

    assert shoot.photos.get().state == Photo.State.REFUSED


def test_with_two_people_the_person_picks_their_face(browser: Client, person: User) -> None:
    shoot = make_checked_shoot(person, cleaned_two_people())
    photo = shoot.photos.get()
    assert photo.state == Photo.State.CHOOSE_FACE
    assert not Pack.objects.exists()

    crop = browser.get(f"/shoots/{shoot.pk}/photos/{photo.pk}/faces/1.jpg")
    wrong = browser.post(f"/shoots/{shoot.pk}/faces/", {f"face-{photo.pk}": "7"}, follow=True)
    browser.post(f"/shoots/{shoot.pk}/faces/", {f"face-{photo.pk}": "1"})
    photo_checks.resolve_identity(shoot=shoot)

    photo.refresh_from_db()
    assert crop.content[:2] == b"\xff\xd8"
    assert "Please pick one of the faces" in wrong.content.decode()
    assert photo.state in Photo.USABLE
    assert photo.chosen_face == 1
    assert Pack.objects.get().kind == "preview"


def test_free_packs_are_limited_per_account_and_day(browser: Client, person: User, settings) -> None:
    settings.HEADSHOTS_PREVIEWS_PER_DAY = 1
    make_preview(person)

    response = upload(browser, photos.astronaut_path().read_bytes())
    Shoot.objects.update(created_at=timezone.now() - timedelta(days=1, seconds=1))
    day_later = browser.get("/shoots/new/")

    assert response.status_code == 429
    assert Shoot.objects.count() == 1
    assert day_later.context["previews_left"] == 1


@pytest.mark.django_db(transaction=True)
def test_uploads_at_the_same_moment_do_not_get_past_the_limit(settings) -> None:
    settings.HEADSHOTS_PREVIEWS_PER_DAY = 2
    owner = make_user()
    refused = []

    def upload_one() -> None:
        try:
            make_shoot(owner)
        except NoPreviewsLeft as none_left:
            refused.append(none_left)
        finally:
            connection.close()

    uploads = [threading.Thread(target=upload_one) for _ in range(5)]
    for one in uploads:
        one.start()
    for one in uploads:
        one.join(30)

    assert Shoot.objects.count() == 2
    assert len(refused) == 3
    assert Blob.objects.count() == 2


def test_a_shoot_whose_photos_were_all_refused_costs_no_free_pack(person: User, settings) -> None:
    settings.HEADSHOTS_PREVIEWS_PER_DAY = 1
    make_checked_shoot(person, clean_upload(photos.coffee_path().read_bytes()))

    assert previews_left(person) == 1


def test_the_same_form_sent_twice_is_one_shoot(browser: Client, settings) -> None:
    settings.HEADSHOTS_PREVIEWS_PER_DAY = 1
    submission = str(browser.get("/shoots/new/").context["form"]["submission"].value())

    first = upload(browser, photos.astronaut_path().read_bytes(), submission=submission, **CONSENTS)
    second = upload(browser, photos.astronaut_path().read_bytes(), submission=submission, **CONSENTS)

    assert first.url == second.url
    assert Shoot.objects.count() == 1


def test_a_full_disk_keeps_nothing_and_says_so(browser: Client, monkeypatch) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    browser.get("/shoots/new/")
    with monkeypatch.context() as full_disk:
        full_disk.setattr(os, "fsync", no_space)
        response = upload(browser, photos.astronaut_path().read_bytes())

    assert response.status_code == 503
    assert "out of storage space" in response.content.decode()
    assert nothing_is_stored()


def test_a_photo_of_somebody_else_is_refused_and_the_others_are_used(person: User, browser: Client) -> None:
    astronaut = clean_upload(photos.astronaut_path().read_bytes())
    same_man = [clean_upload(path.read_bytes()) for path in (photos.obama_path(), photos.obama_speaking_path())]

    shoot = make_checked_shoot(person, same_man[0], astronaut, same_man[1])

    reasons = list(shoot.photos.values_list("state", "reasons"))
    assert reasons == [("accepted", []), ("refused", ["not_same_person"]), ("accepted", [])]
    assert Event.objects.get(name="photo.refused").codes == {"reasons": ["not_same_person"]}
    assert "doesn’t look like the person in your other photos" in browser.get(f"/shoots/{shoot.pk}/").content.decode()
    assert Pack.objects.get().kind == "preview"


@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_a_corrupt_headshot_is_logged_and_its_owner_is_told(
    person: User, browser: Client, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    pack = make_delivered(person)
    row, other = pack.headshots.all()[:2]
    path = blob_store().path(name_of(row.blob))
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"?")

    answer = browser.get(f"/shoots/{pack.shoot_id}/headshots/{row.pk}.jpg")
    page = browser.get(f"/shoots/{pack.shoot_id}/").content.decode()

    (line,) = [record for record in caplog.records if record.name == "headshots.shoots.delivery.pictures"]
    assert (answer.status_code, line.levelname) == (404, "ERROR")
    assert str(row.blob_id) in line.getMessage()
    assert page.count("This headshot can’t be displayed") == 4, "hidden until a picture does not load"
    assert browser.get(f"/shoots/{pack.shoot_id}/headshots/{other.pk}.jpg").status_code == 200


def test_a_headshot_that_was_deleted_is_gone_without_a_word(
    person: User, browser: Client, caplog: pytest.LogCaptureFixture
) -> None:
    pack = make_delivered(person)
    destroy_key(ring="result", key_id=pack.pk)

    answer = browser.get(f"/shoots/{pack.shoot_id}/headshots/{pack.headshots.first().pk}.jpg")

    assert answer.status_code == 404
    assert not [record for record in caplog.records if record.name == "headshots.shoots.delivery.views"]


def test_headshots_are_shown_saved_and_zipped(person: User, browser: Client) -> None:
    pack = make_preview(person)
    rendering.render_pack(pack=pack)
    first = pack.headshots.first()
    asynchronous = AsyncClient()

    shown = browser.get(f"/shoots/{pack.shoot_id}/headshots/{first.pk}.jpg")
    saved = browser.get(f"/shoots/{pack.shoot_id}/headshots/{first.pk}.jpg?download")
    archive = async_to_sync(_download)(asynchronous, person, f"/shoots/{pack.shoot_id}/packs/{pack.pk}/download.zip")

    assert shown["Cache-Control"] == "no-store, private"
    assert saved["Content-Disposition"] == 'attachment; filename="headshot-01-corporate.jpg"'
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        assert files.testzip() is None
        assert len(files.namelist()) == 4 + 1
        assert "digital source type" in files.read("README.txt").decode()
        assert b"digitalsourcetype/composite<" in shown.content
        assert files.read("headshot-01-corporate.jpg") == shown.content


async def _download(browser: AsyncClient, person: User, url: str) -> bytes:
    await browser.aforce_login(person)
    response = await browser.get(url)
    body = b"".join([chunk async for chunk in response.streaming_content])
    assert len(body) == int(response["Content-Length"])
    return body


def test_whoever_else_asks_gets_404_for_every_address_of_a_shoot(person: User, client: Client) -> None:
    pack = make_preview(person)
    deliver(pack)
    photo, row = Photo.objects.get(), pack.headshots.first()
    base = f"/shoots/{pack.shoot_id}"
    addresses = [
        f"{base}/",
        f"{base}/progress/",
        f"{base}/status.json",
        f"{base}/events/",
        f"{base}/packs/{pack.pk}/download.zip",
        f"{base}/delete/",
        f"{base}/headshots/{row.pk}.jpg",
        f"{base}/headshots/{row.pk}/web.jpg",
        f"{base}/photos/{photo.pk}/faces/0.jpg",
        f"/shoots/{uuid4()}/",
    ]
    stranger = Client()
    stranger.force_login(make_user())

    for address in addresses:
        assert stranger.get(address).status_code == 404, address
        assert client.get(address).status_code == 404, address
    for address in (f"{base}/delete/", f"{base}/photos/{photo.pk}/face/", f"{base}/packs/{pack.pk}/cancel/"):
        assert stranger.post(address, {"face": "0"}).status_code == 404
    assert Shoot.objects.get().state == Shoot.State.OPEN


def test_deleting_asks_once_then_closes_the_shoot_at_once(browser: Client, person: User) -> None:
    pack = make_preview(person)
    base = f"/shoots/{pack.shoot_id}"

    question = browser.get(f"{base}/delete/")
    answer = browser.post(f"{base}/delete/")

    shoot = Shoot.objects.get()
    assert question.status_code == 200
    assert answer["Clear-Site-Data"] == '"cache"'
    assert shoot.state == Shoot.State.PURGING
    assert shoot.purge_everything


def test_beat_checks_photos_and_orders_previews_that_a_dead_worker_left(valkey, person: User) -> None:
    waiting = make_shoot(person)
    checked = make_checked_shoot(make_user())
    Pack.objects.all().delete()
    Shoot.objects.update(created_at=timezone.now() - timedelta(minutes=1))

    recovery.requeue_stalled()

    tasks = [json.loads(message)["headers"] for message in valkey.lrange("default", 0, -1)]
    assert sorted((task["task"], task["argsrepr"]) for task in tasks) == [
        ("shoots.check_photo", repr([str(waiting.photos.get().pk)])),
        ("shoots.resolve_identity", repr([str(checked.pk)])),
    ]
    assert waiting.photos.get().state == Photo.State.UPLOADED


def test_staff_see_rows_but_no_picture_in_the_admin(admin_client: Client) -> None:
    pack = make_preview()
    deliver(pack)
    rows = {"shoot": pack.shoot_id, "photo": Photo.objects.get().pk, "pack": pack.pk}
    rows["headshot"] = pack.headshots.first().pk

    for model, key in rows.items():
        page = admin_client.get(f"/admin/shoots/{model}/{key}/change/")
        assert page.status_code == 200
        assert 'src="/shoots' not in page.content.decode()
        assert ".jpg" not in page.content.decode()
