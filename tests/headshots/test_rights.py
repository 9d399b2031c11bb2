"""The page of an account: its owner's, and what they may ask for: everything, nothing any more, or to be forgotten."""

import base64
import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from smtplib import SMTPServerDisconnected
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from asgiref.sync import async_to_sync
from django.apps import apps
from django.conf import LazySettings
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import AsyncClient, Client
from django.utils import timezone
from PIL import Image

from headshots import engine
from headshots.accounts.models import Session, User
from headshots.accounts.sessions import SessionStore
from headshots.accounts.tasks import clear_sessions
from headshots.payments.models import Credit, Refund
from headshots.retention import receipt_mail
from headshots.retention import services as retention
from headshots.retention.models import Destruction, Receipt
from headshots.retention.proofs import drop_proofs
from headshots.rights import services, tasks
from headshots.shoots.models import Consent, Event, Headshot, Pack, Photo, Shoot
from headshots.shoots.person import write_person
from headshots.shoots.uploads import AccountClosed
from headshots.vault import services as vault
from headshots.vault.errors import VaultError, VaultUnavailable
from headshots.vault.models import Blob
from headshots.vault.rings import open_ring
from tests.factories import (
    PASSWORD,
    cleaned_two_people,
    make_checked_shoot,
    make_delivered,
    make_payment,
    make_shoot,
    make_user,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

EMAIL = "ada.lovelace@example.org"


@pytest.fixture(autouse=True)
def own_folders(settings: LazySettings, tmp_path: Path) -> None:
    """Rings and store of this test alone: what it leaves in them is seen."""
    settings.HEADSHOTS_DATA_DIR = tmp_path / "data"
    settings.HEADSHOTS_SOURCE_RING_DIR = tmp_path / "source"
    settings.HEADSHOTS_RESULT_RING_DIR = tmp_path / "result"


@pytest.fixture
def ada() -> User:
    user = make_user(EMAIL)
    EmailAddress.objects.create(user=user, email=EMAIL, primary=True, verified=True)
    return user


@pytest.fixture
def shoot(ada: User) -> Shoot:
    """Four delivered headshots and the photo they were made from."""
    return make_delivered(ada).shoot


@pytest.fixture
def browser(client: Client, ada: User) -> Client:
    """Signed in through the form, as people are: the session then holds what was typed."""
    assert client.post("/accounts/login/", {"login": EMAIL, "password": PASSWORD}).status_code == 302
    return client


def staff() -> User:
    return User.objects.create_superuser("staff@example.org", PASSWORD)


# Whose page it is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["", "export.zip", "consent/withdraw/", "delete/"])
def test_nobody_is_asked_to_sign_in_first(client: Client, address: str) -> None:
    response = client.get(f"/account/{address}")

    assert response.status_code == 302
    assert response.url.startswith("/accounts/login/?next=/account/")


def test_the_page_shows_what_is_the_persons_own(browser: Client, shoot: Shoot) -> None:
    theirs = make_checked_shoot(make_user())

    response = browser.get("/account/")

    page = response.content.decode()
    assert EMAIL in page
    assert f"/shoots/{shoot.pk}/" in page
    assert f"/account/consent/{shoot.pk}/withdraw/" in page
    assert str(theirs.pk) not in page
    assert response["Cache-Control"] == "no-store"


def test_staff_see_their_own_page_and_nobody_elses(client: Client, shoot: Shoot) -> None:
    client.force_login(staff())

    page = client.get("/account/").content.decode()

    assert str(shoot.pk) not in page
    assert client.get(f"/account/consent/{shoot.pk}/withdraw/").status_code == 404


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_strangers_consent_does_not_exist(client: Client, shoot: Shoot, method: str) -> None:
    address = f"/account/consent/{shoot.pk}/withdraw/"

    nobody = getattr(client, method)(address)
    client.force_login(make_user())
    stranger = getattr(client, method)(address)

    assert (nobody.status_code, stranger.status_code) == (404, 404)
    assert Shoot.objects.get().is_open


def test_the_page_costs_the_same_whatever_is_on_it(
    browser: Client, ada: User, settings: LazySettings, django_assert_max_num_queries: "object"
) -> None:
    settings.HEADSHOTS_PREVIEWS_PER_DAY = 10
    for _ in range(4):
        services.withdraw_consent(shoot=make_shoot(ada))

    with django_assert_max_num_queries(9):
        assert browser.get("/account/").status_code == 200


# Export -------------------------------------------------------------------------------------------------------------


def export(user: User) -> zipfile.ZipFile:
    async def fetch() -> bytes:
        client = AsyncClient()
        await client.aforce_login(user)
        response = await client.get("/account/export.zip")
        assert response.status_code == 200
        assert response.streaming
        assert response["Cache-Control"] == "no-store, private"
        return b"".join([chunk async for chunk in response])

    archive = zipfile.ZipFile(io.BytesIO(async_to_sync(fetch)()))
    assert archive.testzip() is None
    return archive


@pytest.mark.django_db(transaction=True)
def test_an_export_holds_all_there_is_readable(ada: User, shoot: Shoot) -> None:
    archive = export(ada)

    told = json.loads(archive.read("account.json"))
    (one,) = told["shoots"]
    (photo,) = one["photos"]
    (pack,) = one["packs"]
    assert told["account"]["address"] == EMAIL
    assert one["id"] == str(shoot.pk)
    assert one["consent"]["consent"] == shoot.consent.consent_version
    assert photo["verdict"] == "accepted"
    assert photo["measurements_of_each_face"]
    assert one["history"][0]["what"] == "shoot.opened"
    pictures = [photo["file"], *(row["files"]["full"] for row in pack["headshots"])]
    assert len(pictures) == 5
    assert all(Image.open(io.BytesIO(archive.read(name))).format == "JPEG" for name in pictures)
    (face,) = json.loads(archive.read(photo["faces_found"]))
    assert (len(face["box"]), len(face["mesh"])) == (4, 468)
    assert f"texts/consent.{one['consent']['consent']}.txt" in archive.namelist()
    assert b"account.json" in archive.read("README.txt")
    # And nothing that is not told of.
    named = {*pictures, photo["faces_found"], "account.json", "README.txt"}
    assert {name for name in archive.namelist() if not name.startswith("texts/")} == named


@pytest.mark.django_db(transaction=True)
def test_an_export_has_what_the_person_said_about_themselves_while_it_is_here(ada: User, shoot: Shoot) -> None:
    said = engine.Person(engine.PersonKind.WOMAN, hair=engine.Hair.LONG_GREY, headscarf=True)
    assert write_person(shoot=shoot, person=said)

    (told,) = json.loads(export(ada).read("account.json"))["shoots"]
    retention.begin_purge(shoot)
    (later,) = json.loads(export(ada).read("account.json"))["shoots"]

    said_of = {name: words for name, words in told["what_you_told_us"].items() if words}
    assert said_of == {"kind": "a woman", "hair": "long and grey", "headscarf": True}
    assert later["what_you_told_us"] is None


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
def test_an_export_after_the_purge_has_the_receipt_and_no_photo(ada: User, shoot: Shoot) -> None:
    retention.begin_purge(shoot)
    retention.purge_shoot(shoot=shoot)

    archive = export(ada)

    told = json.loads(archive.read("account.json"))
    assert told["receipts"][0]["number"] == Receipt.objects.get().reference
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
    (missing,) = told["deleted_while_this_was_written"]
    assert missing.endswith(told["shoots"][0]["packs"][0]["headshots"][2]["files"]["full"].rpartition("/")[2])
    assert missing not in archive.namelist()
    assert sum(name.endswith(".jpg") for name in archive.namelist()) == 4


@pytest.mark.django_db(transaction=True)
def test_what_a_disk_spoiled_is_named_and_the_rest_is_exported(ada: User, shoot: Shoot) -> None:
    write_person(shoot=shoot, person=engine.Person(engine.PersonKind.WOMAN))
    photo = shoot.photos.get()
    shoot.refresh_from_db()
    for blob in (photo.faces_blob, Headshot.objects.get(index=2).blob, shoot.person_blob):
        path = vault.blob_store().path(vault.name_of(blob))
        path.write_bytes(path.read_bytes()[:-1] + b"?")

    archive = export(ada)

    told = json.loads(archive.read("account.json"))
    said, faces, headshot = told["could_not_be_read"]
    assert said.endswith(": what you told us")
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
    assert told["account"]["addresses"][0]["address"] == EMAIL


# Withdrawal -----------------------------------------------------------------------------------------------------


def test_withdrawing_asks_once_and_then_deletes_at_once(browser: Client, shoot: Shoot) -> None:
    address = f"/account/consent/{shoot.pk}/withdraw/"
    assert "Withdraw your consent?" in browser.get(address).content.decode()
    assert Shoot.objects.get().is_open

    response = browser.post(address)

    shoot.refresh_from_db()
    assert (response.status_code, response.url) == (302, "/account/")
    assert response["Clear-Site-Data"] == '"cache"'
    assert (shoot.state, shoot.purge_everything) == (Shoot.State.PURGED, True)
    assert shoot.consent.withdrawn_at
    assert not Blob.objects.exists()
    assert not open_ring("source").key_ids()
    assert not open_ring("result").key_ids()
    assert "shoot.consent_withdrawn" in Event.objects.values_list("name", flat=True)
    page = browser.get("/account/").content.decode()
    assert Receipt.objects.get().reference in page
    assert "Consent withdrawn" in page


def test_withdrawing_twice_is_withdrawing_once(browser: Client, shoot: Shoot) -> None:
    for _ in range(2):
        assert browser.post(f"/account/consent/{shoot.pk}/withdraw/").status_code == 302

    assert Event.objects.filter(name="shoot.consent_withdrawn").count() == 1
    assert Receipt.objects.count() == 1


def test_withdrawing_after_the_photos_went_takes_the_headshots(browser: Client, shoot: Shoot) -> None:
    retention.begin_purge(shoot)
    retention.purge_shoot(shoot=shoot)

    browser.post(f"/account/consent/{shoot.pk}/withdraw/")

    assert not Headshot.objects.exists()
    assert Receipt.objects.count() == 2


def test_all_consents_at_once(browser: Client, ada: User, shoot: Shoot) -> None:
    make_shoot(ada)
    stranger = make_shoot(make_user())
    assert "Withdraw all 2 consents" in browser.get("/account/").content.decode()

    assert browser.get("/account/consent/withdraw/").status_code == 200
    assert browser.post("/account/consent/withdraw/").url == "/account/"

    assert not Shoot.objects.filter(owner=ada, state=Shoot.State.OPEN).exists()
    assert not Consent.objects.filter(shoot__owner=ada, withdrawn_at=None).exists()
    stranger.refresh_from_db()
    assert stranger.is_open


def test_a_withdrawal_that_the_store_holds_up_is_finished_by_beat(
    browser: Client, shoot: Shoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(vault, "delete_files", _away)
        assert browser.post(f"/account/consent/{shoot.pk}/withdraw/").status_code == 302
    assert Shoot.objects.get().state == Shoot.State.PURGING
    assert not open_ring("source").key_ids()

    from headshots.retention.due import purge_due

    purge_due()

    assert Shoot.objects.get().state == Shoot.State.PURGED


def _away(**_: object) -> None:
    raise OSError("the store is away")


# Deletion of the account ------------------------------------------------------------------------------------------


def delete_account(browser: Client, password: str = PASSWORD, receipt: str = "") -> "object":
    return browser.post("/account/delete/", {"password": password, "receipt": receipt or str(uuid4())})


def everything_in_the_database() -> bytes:
    """Every value of every table, and what its encodings hide."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608  (Django's own name)
            found += [value for row in cursor.fetchall() for value in row if value is not None]
    said = [value if isinstance(value, bytes) else str(value).encode() for value in found]
    decoded = [
        json.dumps(SessionStore(row.session_key).decode(row.session_data)).encode() for row in Session.objects.all()
    ]
    return b"\0".join([*said, *decoded])


def spellings(address: str) -> list[bytes]:
    plain = address.encode()
    return [plain, plain.upper(), base64.b64encode(plain), plain.hex().encode(), plain.replace(b"@", b"%40")]


def test_deleting_an_account_leaves_no_row_blob_key_or_address(browser: Client, ada: User, shoot: Shoot) -> None:
    make_checked_shoot(ada, cleaned_two_people())
    before = everything_in_the_database()
    assert EMAIL.encode() in before

    response = delete_account(browser)

    assert response.status_code == 302
    for model in (User, EmailAddress, Session, Photo, Headshot, Blob):
        assert not model.objects.exists(), model
    assert not open_ring("source").key_ids()
    assert not open_ring("result").key_ids()
    left = everything_in_the_database()
    assert not [spelling for spelling in spellings(EMAIL) if spelling in left]
    assert b"lovelace" not in left.lower()
    assert not Shoot.objects.exclude(owner=None).exists()


def test_the_address_search_finds_addresses_in_sessions(browser: Client) -> None:
    User.objects.all().update(email="gone@example.org")
    EmailAddress.objects.all().delete()

    assert EMAIL.encode() in everything_in_the_database()


def test_the_receipt_is_shown_to_who_has_left_and_mailed_before_the_address_went(
    browser: Client, shoot: Shoot, settings: LazySettings
) -> None:
    settings.HEADSHOTS_BACKUP_DAYS = 14
    response = delete_account(browser)

    receipt = Receipt.objects.get()
    page = browser.get(response.url).content.decode()
    assert response.url == receipt.get_absolute_url()
    assert (receipt.kind, receipt.owner, receipt.asked_by) == ("account", None, "person")
    assert receipt.done_at
    assert "Your account is deleted" in page
    assert receipt.reference in page
    assert "1 photo" in page
    assert "4 finished headshots" in page
    assert f"consent of {Consent.objects.get().consent_version}" in page
    assert "and your address" in page  # what backups hold
    (message,) = mail.outbox
    assert message.to == [EMAIL]
    assert receipt.reference in message.subject
    assert "your address goes, too" in message.body
    assert receipt.get_absolute_url() in message.body


def test_what_stays_is_named_pseudonymous_and_goes_after_the_stated_time(browser: Client, shoot: Shoot) -> None:
    delete_account(browser)

    assert Consent.objects.get().shoot.owner is None
    assert Event.objects.filter(shoot_id=shoot.pk).exists()
    assert Destruction.objects.filter(receipt=Receipt.objects.get()).count() == 2
    assert drop_proofs() == 0

    Receipt.objects.update(proof_until=timezone.now())

    assert drop_proofs() == 1
    for model in (Receipt, Destruction, Consent, Shoot, Pack, Event):
        assert not model.objects.exists(), model


def test_what_was_paid_and_not_had_is_given_back_once(browser: Client, ada: User, settings: LazySettings) -> None:
    settings.HEADSHOTS_TEST_CHECKOUT = settings.DEBUG = True
    make_payment(ada, mode="local")

    page = browser.get(delete_account(browser).url).content.decode()

    refund = Refund.objects.get(reason="account_deleted")
    assert refund.amount == 1800  # a dollar went back before
    assert Credit.objects.get().state == "refunded"
    assert "1 pack that you had paid for and not had" in page
    assert "1 pack that you had paid for and not had" in mail.outbox[0].body
    assert len(mail.outbox) == 1


def test_the_receipt_names_payments_that_stay_and_until_when(browser: Client, ada: User) -> None:
    payment = make_payment(ada)

    page = browser.get(delete_account(browser).url).content.decode()

    payment.refresh_from_db()
    assert payment.owner is None
    assert "1 payment: amounts, times" in page
    assert str(timezone.now().year + 9) in page or str(timezone.now().year + 10) in page


def test_browser_and_sessions_forget_as_well(browser: Client, ada: User, client: Client) -> None:
    elsewhere = Client()
    elsewhere.force_login(ada)

    response = delete_account(browser)

    assert response["Clear-Site-Data"] == '"cache", "cookies", "storage"'
    assert "_auth_user_id" not in browser.session
    assert elsewhere.get("/account/").status_code == 302
    assert Session.objects.filter(account_id__isnull=False).count() == 0


def test_a_wrong_password_deletes_nothing(browser: Client, shoot: Shoot) -> None:
    response = delete_account(browser, password="not it")

    assert response.status_code == 422
    assert "That is not the password" in response.content.decode()
    assert Shoot.objects.get().is_open
    assert User.objects.get().leaving_at is None
    assert not Receipt.objects.exists()


def test_passwords_cannot_be_tried_for_ever(browser: Client) -> None:
    answers = [delete_account(browser, password="not it").status_code for _ in range(12)]

    assert answers[-1] == 429
    assert User.objects.get().is_active


def test_a_double_click_is_one_deletion_with_one_receipt(browser: Client, shoot: Shoot) -> None:
    receipt_id = str(uuid4())
    twin = Client()
    twin.cookies = browser.cookies.copy()

    first = delete_account(browser, receipt=receipt_id)
    second = delete_account(twin, receipt=receipt_id)

    assert (first.status_code, second.status_code) == (302, 302)
    assert first.url == second.url == f"/retention/receipts/{receipt_id}/"
    assert Receipt.objects.count() == 1
    assert len(mail.outbox) == 1


def test_the_receipt_of_somebody_else_is_not_taken_over(browser: Client, ada: User, shoot: Shoot) -> None:
    theirs = make_shoot(make_user())
    services.withdraw_consent(shoot=theirs)
    known = Receipt.objects.get()

    response = delete_account(browser, receipt=str(known.pk))

    assert response.url == "/account/delete/"
    known.refresh_from_db()
    assert known.kind == "shoot"
    assert User.objects.filter(pk=ada.pk, leaving_at=None).exists()


def test_staff_cannot_delete_what_the_log_of_staff_names(client: Client) -> None:
    client.force_login(staff())

    response = delete_account(client)

    assert response.status_code == 403
    assert "may enter the admin" in response.content.decode()
    assert User.objects.exists()


def test_an_account_without_shoots_has_a_receipt_too(browser: Client) -> None:
    response = delete_account(browser)

    assert not User.objects.exists()
    assert "There were no pictures left" in browser.get(response.url).content.decode()
    assert "There were no pictures left" in mail.outbox[0].body


def test_no_receipt_of_a_shoot_is_mailed_beside_that_of_the_account(browser: Client, shoot: Shoot) -> None:
    retention.begin_purge(shoot)
    retention.purge_shoot(shoot=shoot)
    earlier = Receipt.objects.get()

    delete_account(browser)

    assert not receipt_mail.mail_receipt(earlier)
    assert [receipt.kind for receipt in Receipt.objects.all()] == ["account", "shoot"]
    assert len(mail.outbox) == 1


def test_others_keep_everything(browser: Client, ada: User) -> None:
    theirs = make_delivered(make_user())

    delete_account(browser)

    assert vault.read_blob(theirs.headshots.get(index=0).blob)
    assert User.objects.count() == 1


def test_an_upload_under_way_finds_the_account_closed(ada: User) -> None:
    services.begin_leaving(owner=ada, receipt_id=uuid4())

    with pytest.raises(AccountClosed):
        make_shoot(ada)
    assert not Blob.objects.exists()


def test_an_operator_deletes_an_account_by_its_number(
    ada: User, shoot: Shoot, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("delete_account", str(ada.pk))

    receipt = Receipt.objects.get()
    assert not User.objects.exists()
    assert not Blob.objects.exists()
    assert receipt.asked_by == "staff"
    assert receipt.reference in capsys.readouterr().out
    assert "your account is deleted" in mail.outbox[0].body


@pytest.mark.parametrize("who", ["nobody", "staff"])
def test_an_operator_is_told_why_an_account_cannot_be_deleted(who: str) -> None:
    number = staff().pk if who == "staff" else 4711

    with pytest.raises(CommandError, match=str(number)):
        call_command("delete_account", str(number))


# Crashes and outages ------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone: nothing of ours may catch it."""


@pytest.mark.parametrize("step", ["_give_money_back", "_purge_everything", "_mail_receipt", "_drop_account"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_between_two_steps_the_deletion_is_finished_by_beat(
    ada: User, shoot: Shoot, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    real = getattr(services, step)

    def die(owner: User) -> bool:
        if moment == "after":
            real(owner)
        raise Killed

    services.begin_leaving(owner=ada, receipt_id=uuid4())
    with monkeypatch.context() as patch:
        patch.setattr(services, step, die)
        with pytest.raises(Killed):
            services.finish_leaving(owner=ada)

    tasks.finish_leaving()
    tasks.finish_leaving()

    assert not User.objects.exists()
    assert not Blob.objects.exists()
    assert Receipt.objects.get().done_at
    assert len(mail.outbox) == 1


def test_keys_die_at_once_even_when_no_file_can_be_removed(
    browser: Client, shoot: Shoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = list(Blob.objects.all())
    with monkeypatch.context() as patch:
        patch.setattr(vault, "delete_files", _away)
        response = delete_account(browser)

    page = browser.get(response.url).content.decode()
    assert "Your account is being deleted" in page
    assert not open_ring("source").key_ids()
    assert not open_ring("result").key_ids()
    for blob in blobs:
        with pytest.raises(VaultError):
            vault.read_blob(blob)
    assert not mail.outbox
    assert not User.objects.get().is_active

    tasks.finish_leaving()

    assert not User.objects.exists()
    assert "Your account is deleted" in browser.get(response.url).content.decode()


def test_a_mail_server_that_is_away_holds_up_the_address_for_an_hour_and_no_longer(
    browser: Client, shoot: Shoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*message: object) -> None:
        raise SMTPServerDisconnected

    monkeypatch.setattr(receipt_mail, "send_mail", refuse)
    delete_account(browser)
    assert not Blob.objects.exists()
    assert User.objects.exists()

    User.objects.update(leaving_at=timezone.now() - timedelta(hours=2))
    tasks.finish_leaving()

    assert not User.objects.exists()
    assert Receipt.objects.get().done_at


def test_who_is_leaving_cannot_sign_in_again(ada: User, client: Client) -> None:
    services.begin_leaving(owner=ada, receipt_id=uuid4())

    client.post("/accounts/login/", {"login": EMAIL, "password": PASSWORD})

    assert client.get("/account/").status_code == 302


def test_a_ring_that_is_away_closes_the_account_all_the_same(
    browser: Client, shoot: Shoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: object) -> None:
        raise VaultUnavailable("the ring")

    with monkeypatch.context() as patch:
        patch.setattr(vault, "destroy_keys", away)
        patch.setattr(vault, "destroy_key", away)
        response = delete_account(browser)
    assert "Your account is being deleted" in browser.get(response.url).content.decode()
    assert not User.objects.get().is_active

    tasks.finish_leaving()

    assert not User.objects.exists()
    assert not Blob.objects.exists()


# Sessions -----------------------------------------------------------------------------------------------------------


def test_expired_sessions_are_deleted_with_the_address_in_them(browser: Client) -> None:
    clear_sessions()
    assert Session.objects.count() == 1
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))

    clear_sessions()

    assert not Session.objects.exists()


def test_no_table_of_ours_but_those_of_accounts_has_a_place_for_an_address() -> None:
    named = [
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if "email" in field.name.lower() and not model._meta.label.startswith(("accounts.", "account."))
    ]

    assert named == []
