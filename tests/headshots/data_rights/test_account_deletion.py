"""An account deleted: what goes, what stays and is named, what is given back."""

import base64
import json
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.conf import LazySettings
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from headshots.accounts.models import Session, User
from headshots.accounts.sessions import SessionStore
from headshots.data_rights import services
from headshots.payments.models import Credit, Refund
from headshots.retention import certificates
from headshots.retention import purging as retention
from headshots.retention.due import delete_expired_certificates
from headshots.retention.models import DeletionCertificate, KeyDestruction
from headshots.shoots.models import Consent, Event, Headshot, Pack, Photo, Shoot
from headshots.shoots.uploads.new_shoot import AccountClosed
from headshots.vault import services as vault
from headshots.vault.models import Blob
from headshots.vault.rings import open_ring
from tests.headshots.data_rights.account import EMAIL, delete_account, staff
from tests.helpers.factories import (
    cleaned_two_people,
    make_checked_shoot,
    make_delivered,
    make_payment,
    make_shoot,
    make_user,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


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


def test_the_certificate_is_shown_to_who_has_left_and_mailed_before_the_address_went(
    browser: Client, shoot: Shoot, settings: LazySettings
) -> None:
    settings.HEADSHOTS_BACKUP_DAYS = 14
    response = delete_account(browser)

    certificate = DeletionCertificate.objects.get()
    page = browser.get(response.url).content.decode()
    assert response.url == certificate.get_absolute_url()
    assert (certificate.kind, certificate.owner, certificate.requested_by) == ("account", None, "person")
    assert certificate.done_at
    assert "Your account has been deleted" in page
    assert certificate.reference in page
    assert "1 photo" in page
    assert "4 finished headshots" in page
    assert f"version {Consent.objects.get().consent_version} of the consent text" in page
    assert "and your email" in page  # what backups hold
    (message,) = mail.outbox
    assert message.to == [EMAIL]
    assert certificate.reference in message.subject
    assert "delete your email address too" in message.body
    assert certificate.get_absolute_url() in message.body


def test_what_stays_is_named_pseudonymous_and_goes_after_the_stated_time(browser: Client, shoot: Shoot) -> None:
    delete_account(browser)

    assert Consent.objects.get().shoot.owner is None
    assert Event.objects.filter(shoot_id=shoot.pk).exists()
    assert KeyDestruction.objects.filter(certificate=DeletionCertificate.objects.get()).count() == 2
    assert delete_expired_certificates() == 0

    DeletionCertificate.objects.update(keep_until=timezone.now())

    assert delete_expired_certificates() == 1
    for model in (DeletionCertificate, KeyDestruction, Consent, Shoot, Pack, Event):
        assert not model.objects.exists(), model


def test_what_was_paid_and_not_had_is_given_back_once(browser: Client, ada: User, settings: LazySettings) -> None:
    settings.HEADSHOTS_TEST_CHECKOUT = settings.DEBUG = True
    make_payment(ada, mode="local")

    page = browser.get(delete_account(browser).url).content.decode()

    refund = Refund.objects.get(reason=Refund.Reason.ACCOUNT_DELETED)
    assert refund.amount == 1800  # a dollar went back before
    assert Credit.objects.get().state == "refunded"
    assert "refunding 1 pack that you paid for but didn’t receive" in page
    assert "refunding 1 pack that you paid for but didn’t receive" in mail.outbox[0].body
    assert len(mail.outbox) == 1


def test_the_certificate_names_payments_that_stay_and_until_when(browser: Client, ada: User) -> None:
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
    assert "That password is incorrect" in response.content.decode()
    assert Shoot.objects.get().is_open
    assert User.objects.get().deletion_requested_at is None
    assert not DeletionCertificate.objects.exists()


def test_passwords_cannot_be_tried_for_ever(browser: Client) -> None:
    answers = [delete_account(browser, password="not it").status_code for _ in range(12)]

    assert answers[-1] == 429
    assert User.objects.get().is_active


def test_a_double_click_is_one_deletion_with_one_certificate(browser: Client, shoot: Shoot) -> None:
    certificate_id = str(uuid4())
    twin = Client()
    twin.cookies = browser.cookies.copy()

    first = delete_account(browser, certificate=certificate_id)
    second = delete_account(twin, certificate=certificate_id)

    assert (first.status_code, second.status_code) == (302, 302)
    assert first.url == second.url == f"/retention/certificates/{certificate_id}/"
    assert DeletionCertificate.objects.count() == 1
    assert len(mail.outbox) == 1


def test_the_certificate_of_somebody_else_is_not_taken_over(browser: Client, ada: User, shoot: Shoot) -> None:
    theirs = make_shoot(make_user())
    services.withdraw_consent(shoot=theirs)
    known = DeletionCertificate.objects.get()

    response = delete_account(browser, certificate=str(known.pk))

    assert response.url == "/account/delete/"
    known.refresh_from_db()
    assert known.kind == "shoot"
    assert User.objects.filter(pk=ada.pk, deletion_requested_at=None).exists()


def test_staff_cannot_delete_what_the_log_of_staff_names(client: Client) -> None:
    client.force_login(staff())

    response = delete_account(client)

    assert response.status_code == 403
    assert "Staff accounts can’t delete themselves" in response.content.decode()
    assert User.objects.exists()


def test_an_account_without_shoots_has_a_certificate_too(browser: Client) -> None:
    response = delete_account(browser)

    assert not User.objects.exists()
    assert "There were no pictures left in this account" in browser.get(response.url).content.decode()
    assert "There were no pictures left in this account" in mail.outbox[0].body


def test_no_certificate_of_a_shoot_is_mailed_beside_that_of_the_account(browser: Client, shoot: Shoot) -> None:
    retention.begin_purge(shoot)
    retention.purge_shoot(shoot=shoot)
    earlier = DeletionCertificate.objects.get()

    delete_account(browser)

    assert not certificates.mail_certificate(earlier)
    assert [certificate.kind for certificate in DeletionCertificate.objects.all()] == ["account", "shoot"]
    assert len(mail.outbox) == 1


def test_others_keep_everything(browser: Client, ada: User) -> None:
    theirs = make_delivered(make_user())

    delete_account(browser)

    assert vault.read_blob(theirs.headshots.get(index=0).blob)
    assert User.objects.count() == 1


def test_an_upload_under_way_finds_the_account_closed(ada: User) -> None:
    services.begin_account_deletion(owner=ada, certificate_id=uuid4())

    with pytest.raises(AccountClosed):
        make_shoot(ada)
    assert not Blob.objects.exists()


def test_an_operator_deletes_an_account_by_its_number(
    ada: User, shoot: Shoot, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("delete_account", str(ada.pk))

    certificate = DeletionCertificate.objects.get()
    assert not User.objects.exists()
    assert not Blob.objects.exists()
    assert certificate.requested_by == "staff"
    assert certificate.reference in capsys.readouterr().out
    assert "Your account has been deleted" in mail.outbox[0].body


@pytest.mark.parametrize("who", ["nobody", "staff"])
def test_an_operator_is_told_why_an_account_cannot_be_deleted(who: str) -> None:
    number = staff().pk if who == "staff" else 4711

    with pytest.raises(CommandError, match=str(number)):
        call_command("delete_account", str(number))
