"""Taking along all that there is about oneself, and nothing of others."""

import io
import json
import zipfile

import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings
from django.test import AsyncClient
from PIL import Image

from headshots import engine
from headshots.accounts.models import User
from headshots.retention import purging as retention
from headshots.retention.models import DeletionCertificate
from headshots.shoots.models import Headshot, Shoot
from headshots.shoots.self_description import write_self_description
from headshots.vault import services as vault
from headshots.vault.errors import VaultUnavailable
from headshots.vault.models import Blob
from tests.headshots.data_rights.account import EMAIL
from tests.helpers.factories import make_checked_shoot, make_payment, make_user
from tests.helpers.streaming_zip import read_forward

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


def export(user: User) -> zipfile.ZipFile:
    async def fetch() -> bytes:
        client = AsyncClient()
        await client.aforce_login(user)
        response = await client.get("/account/export.zip")
        assert response.status_code == 200
        assert response.streaming
        assert response["Cache-Control"] == "no-store, private"
        return b"".join([chunk async for chunk in response])

    data = async_to_sync(fetch)()
    archive = zipfile.ZipFile(io.BytesIO(data))
    # Readers of streams, which go forward only, get the same.
    assert list(read_forward(data)) == archive.namelist()
    assert archive.testzip() is None
    return archive


@pytest.mark.django_db(transaction=True)
def test_an_export_holds_all_there_is_readable(ada: User, shoot: Shoot) -> None:
    archive = export(ada)

    told = json.loads(archive.read("account.json"))
    (one,) = told["shoots"]
    (photo,) = one["photos"]
    (pack,) = one["packs"]
    assert told["account"]["email"] == EMAIL
    assert one["id"] == str(shoot.pk)
    assert one["consent"]["consent"] == shoot.consent.consent_version
    assert photo["result"] == "accepted"
    assert photo["score"] >= 70
    assert one["history"][0]["event"] == "shoot.opened"
    pictures = [photo["file"], *(row["files"]["full"] for row in pack["headshots"])]
    assert len(pictures) == 5
    assert all(Image.open(io.BytesIO(archive.read(name))).format == "JPEG" for name in pictures)
    (face,) = json.loads(archive.read(photo["faces_found"]))
    assert (len(face["box"]), len(face["mesh"])) == (4, 468)
    assert face["measurements"]["face_width_px"] > 100
    assert f"texts/consent.{one['consent']['consent']}.txt" in archive.namelist()
    assert b"account.json" in archive.read("README.txt")
    # And nothing that is not told of.
    named = {*pictures, photo["faces_found"], "account.json", "README.txt"}
    assert {name for name in archive.namelist() if not name.startswith("texts/")} == named


@pytest.mark.django_db(transaction=True)
def test_an_export_has_what_the_person_said_about_themselves_while_it_is_here(ada: User, shoot: Shoot) -> None:
    said = engine.SelfDescription(engine.PersonKind.WOMAN, hair=engine.Hair.LONG_GRAY, headscarf=True)
    assert write_self_description(shoot=shoot, self_description=said)

    (told,) = json.loads(export(ada).read("account.json"))["shoots"]
    retention.begin_purge(shoot)
    (later,) = json.loads(export(ada).read("account.json"))["shoots"]

    said_of = {name: words for name, words in told["your_answers"].items() if words}
    assert said_of == {"kind": "a woman", "hair": "long and gray", "headscarf": True}
    assert later["your_answers"] is None


@pytest.mark.django_db(transaction=True)
def test_an_export_has_every_version_of_a_headshot_and_every_payment(ada: User, shoot: Shoot) -> None:
    headshot = Headshot.objects.get(index=0)
    for version in ("web", "profile"):
        data = vault.read_blob(headshot.blob)
        blob = vault.write_blob(ring="result", key_id=headshot.pack_id, kind=version, data=data)
        Headshot.objects.filter(pk=headshot.pk).update(**{f"{version}_blob": blob})
    make_payment(ada)

    archive = export(ada)

    told = json.loads(archive.read("account.json"))
    first, *others = told["shoots"][0]["packs"][0]["headshots"]
    assert all(archive.read(name)[:2] == b"\xff\xd8" for name in first["files"].values())
    assert set(first["files"]) == {"full", "web", "profile"}
    assert all(set(other["files"]) == {"full"} for other in others)
    assert (told["payments"][0]["paid"], told["payments"][0]["state"]) == ("$19", "paid")
    assert told["credits"][0]["payment"] == told["payments"][0]["id"]


@pytest.mark.django_db(transaction=True)
def test_an_export_after_the_purge_has_the_certificate_and_no_photo(ada: User, shoot: Shoot) -> None:
    retention.begin_purge(shoot)
    retention.purge_shoot(shoot=shoot)

    archive = export(ada)

    told = json.loads(archive.read("account.json"))
    assert told["deletion_certificates"][0]["number"] == DeletionCertificate.objects.get().reference
    assert told["shoots"][0]["photos"] == []
    assert sum(name.endswith(".jpg") for name in archive.namelist()) == 4


@pytest.mark.django_db(transaction=True)
def test_a_picture_that_dies_during_the_export_is_named_and_the_rest_is_whole(
    ada: User, shoot: Shoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    doomed = Headshot.objects.get(index=2).blob
    real = vault.read_blob

    def read(blob: Blob) -> object:
        if blob.pk == doomed.pk:
            vault.blob_store().delete([vault.name_of(blob)])
        return real(blob)

    monkeypatch.setattr(vault, "read_blob", read)

    archive = export(ada)

    told = json.loads(archive.read("account.json"))
    (missing,) = told["deleted_during_export"]
    assert missing.endswith(told["shoots"][0]["packs"][0]["headshots"][2]["files"]["full"].rpartition("/")[2])
    assert missing not in archive.namelist()
    assert sum(name.endswith(".jpg") for name in archive.namelist()) == 4


@pytest.mark.django_db(transaction=True)
def test_what_a_disk_spoiled_is_named_and_the_rest_is_exported(ada: User, shoot: Shoot) -> None:
    write_self_description(shoot=shoot, self_description=engine.SelfDescription(engine.PersonKind.WOMAN))
    photo = shoot.photos.get()
    shoot.refresh_from_db()
    for blob in (photo.faces_blob, Headshot.objects.get(index=2).blob, shoot.self_description_blob):
        path = vault.blob_store().path(vault.name_of(blob))
        *good, last = path.read_bytes()
        path.write_bytes(bytes([*good, last ^ 1]))

    archive = export(ada)

    told = json.loads(archive.read("account.json"))
    said, faces, headshot = told["unreadable"]
    assert said.endswith(": your answers")
    assert faces.endswith("photo-1-faces.json")
    assert headshot.endswith(told["shoots"][0]["packs"][0]["headshots"][2]["files"]["full"].rpartition("/")[2])
    assert not {faces, headshot} & set(archive.namelist())
    assert told["shoots"][0]["photos"][0]["faces_found"] is None
    assert sum(name.endswith(".jpg") for name in archive.namelist()) == 4


@pytest.mark.django_db(transaction=True)
def test_a_store_that_does_not_answer_breaks_an_export_off_rather_than_shorten_it(
    ada: User, shoot: Shoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(blob: Blob) -> object:
        raise VaultUnavailable("the store")

    monkeypatch.setattr(vault, "read_blob", away)

    with pytest.raises(VaultUnavailable):
        export(ada)


@pytest.mark.django_db(transaction=True)
def test_exports_are_not_made_all_day(ada: User) -> None:
    async def statuses() -> list[int]:
        client = AsyncClient()
        await client.aforce_login(ada)
        return [(await client.get("/account/export.zip")).status_code for _ in range(11)]

    assert async_to_sync(statuses)() == [200] * 10 + [429]


@pytest.mark.django_db(transaction=True)
def test_an_export_holds_nothing_of_others(ada: User, shoot: Shoot) -> None:
    other = make_checked_shoot(make_user("somebody@example.org"))

    archive = export(ada)

    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert str(other.pk).encode() not in everything
    assert b"somebody@example.org" not in everything


@pytest.mark.django_db(transaction=True)
def test_an_export_writes_nothing_to_the_disk(ada: User, shoot: Shoot, settings: LazySettings) -> None:
    def files() -> set[str]:
        return {str(path) for path in settings.HEADSHOTS_DATA_DIR.rglob("*") if path.is_file()}

    before = files()
    export(ada)

    assert {path for path in files() - before if "sqlite" not in path} == set()


@pytest.mark.django_db(transaction=True)
def test_an_empty_account_exports_itself(ada: User) -> None:
    told = json.loads(export(ada).read("account.json"))

    assert told["shoots"] == []
    assert told["account"]["emails"][0]["email"] == EMAIL
