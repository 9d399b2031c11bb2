"""Certificates: one for every deletion, true, kept apart from what it is about, and mailed once."""

import json
import re
from dataclasses import fields
from datetime import timedelta
from smtplib import SMTPServerDisconnected
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.core import mail
from django.core.checks import run_checks
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from headshots.accounts.models import User
from headshots.payments.models import Credit, Payment
from headshots.retention import certificates
from headshots.retention.certificates import (
    begin_account_certificate,
    mail_certificate,
    mail_waiting_certificates,
)
from headshots.retention.due import delete_expired_certificates, delete_expired_payments, purge_due
from headshots.retention.models import DeletionCertificate, KeyDestruction
from headshots.retention.purging import delete_pack, purge_shoot
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.models import Consent, Event, Pack, Shoot
from headshots.vault import services as vault
from pipeline.types import Measurements
from tests.helpers.factories import make_delivered, make_payment, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


@pytest.fixture
def shoot(person: User) -> Shoot:
    """A shoot of the astronaut with four delivered headshots."""
    return make_delivered(person).shoot


def purge(shoot: Shoot, *, everything: bool = False, actor: str = Event.Actor.PERSON) -> list[DeletionCertificate]:
    begin_purge(shoot, everything=everything, actor=actor)
    assert purge_shoot(shoot=shoot)
    return list(DeletionCertificate.objects.filter(shoot_id=shoot.pk))


# What it says ---------------------------------------------------------------------------------------------------


def test_a_purge_leaves_a_certificate_of_what_went_and_when_its_key_died(shoot: Shoot, person: User) -> None:
    before = timezone.now()

    (certificate,) = purge(shoot)

    destruction = certificate.key_destructions.get()
    assert (certificate.owner, certificate.requested_by, certificate.title) == (
        person,
        "person",
        "Your photos have been deleted",
    )
    assert (destruction.ring, destruction.key_id) == ("source", shoot.pk)
    assert destruction.counts == {"photo": 1, "faces": 1, "rows": 1}
    assert before < destruction.destroyed_at < destruction.done_at < timezone.now()


def test_the_deletion_of_finished_headshots_has_a_certificate_of_its_own(shoot: Shoot) -> None:
    purge(shoot)
    Pack.objects.update(expires_at=timezone.now())

    purge_due()

    latest = DeletionCertificate.objects.first()
    assert DeletionCertificate.objects.count() == 2
    assert (latest.title, latest.requested_by) == ("Your headshots have been deleted", "system")
    assert latest.key_destructions.get().counts == {"headshot": 4}


def test_everything_at_once_has_one_certificate(shoot: Shoot) -> None:
    (certificate,) = purge(shoot, everything=True)

    assert certificate.title == "Your photos and headshots have been deleted"
    assert {destruction.ring for destruction in certificate.key_destructions.all()} == {"source", "result"}


def test_headshots_that_go_later_are_on_a_second_certificate(shoot: Shoot) -> None:
    purge(shoot)

    second, first = purge(shoot, everything=True)

    assert [destruction.ring for destruction in first.key_destructions.all()] == ["source"]
    assert [destruction.ring for destruction in second.key_destructions.all()] == ["result"]


def test_an_order_without_a_picture_leaves_no_certificate(shoot: Shoot) -> None:
    empty = Pack.objects.create(
        shoot=shoot, kind="trial", state="canceled", engine="fake", total=4, seed=1, width=64, height=80
    )
    vault.create_key(ring="result", key_id=empty.pk)

    assert delete_pack(pack=empty)

    assert not DeletionCertificate.objects.exists()
    assert not KeyDestruction.objects.exists()


def test_purging_twice_writes_one_certificate(shoot: Shoot) -> None:
    purge(shoot)

    assert not purge_shoot(shoot=shoot)
    purge_due()

    assert DeletionCertificate.objects.count() == 1


def test_a_purge_that_goes_on_after_a_crash_keeps_the_time_at_which_the_key_died(
    shoot: Shoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_purge(shoot)
    with monkeypatch.context() as patch:
        patch.setattr(vault, "delete_files", lambda **_: (_ for _ in ()).throw(OSError))
        with pytest.raises(OSError):  # noqa: PT011  (a disk has many ways to fail)
            purge_shoot(shoot=shoot)
    assert not DeletionCertificate.objects.exists()
    died = KeyDestruction.objects.get().destroyed_at

    purge_due()

    assert DeletionCertificate.objects.get().key_destructions.get().destroyed_at == died


def test_a_certificate_holds_numbers_and_names_nobody(shoot: Shoot, person: User) -> None:
    measured = [field.name for field in fields(Measurements)]
    (certificate,) = purge(shoot, everything=True)

    rows = [*DeletionCertificate.objects.values(), *KeyDestruction.objects.values()]
    said = json.dumps(rows, default=str)
    assert person.email not in said
    assert not [name for name in measured if name in said]
    allowed = {"photo", "faces", "headshot", "rows"}
    assert all(set(destruction.counts) <= allowed for destruction in certificate.key_destructions.all())
    assert all(
        isinstance(count, int)
        for destruction in certificate.key_destructions.all()
        for count in destruction.counts.values()
    )


def test_the_number_can_be_quoted_and_is_never_the_same(shoot: Shoot) -> None:
    (certificate,) = purge(shoot)

    references = {DeletionCertificate().reference for _ in range(1000)} | {certificate.reference}
    assert len(references) == 1001
    assert all(re.fullmatch(r"HS-[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", one) for one in references)


# Backups --------------------------------------------------------------------------------------------------------


def test_what_backups_hold_is_what_the_settings_of_that_day_said(
    client: Client, shoot: Shoot, person: User, settings: LazySettings
) -> None:
    settings.HEADSHOTS_BACKUP_DAYS, settings.HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS = 14, 5
    (certificate,) = purge(shoot, everything=True)
    settings.HEADSHOTS_BACKUP_DAYS, settings.HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS = 0, 0

    client.force_login(person)
    page = client.get(certificate.get_absolute_url()).content.decode()

    assert certificate.backups_until - certificate.begun_at == pytest.approx(
        timedelta(days=14), abs=timedelta(seconds=5)
    )
    assert certificate.result_keys_until - certificate.begun_at == pytest.approx(
        timedelta(days=5), abs=timedelta(seconds=5)
    )
    assert "No backup contains the keys of photos" in page
    assert certificate.result_keys_until.strftime("%B %-d, %Y") in page
    # A headshot can be restored while its key is in a backup, so the page does not promise otherwise.
    assert "no copy of the encrypted files can be opened, no matter where it is, except as described under" in page


def test_photos_alone_have_no_key_in_any_backup(shoot: Shoot, settings: LazySettings) -> None:
    settings.HEADSHOTS_BACKUP_DAYS, settings.HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS = 14, 5

    (certificate,) = purge(shoot)

    assert certificate.result_keys_until is None


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS", 8, "retention.E004"),
        ("HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS", -1, "retention.E004"),
        ("HEADSHOTS_BACKUP_DAYS", -1, "retention.E005"),
        ("HEADSHOTS_DELETION_RECORD_DAYS", 0, "retention.E006"),
        ("HEADSHOTS_PAYMENT_RETENTION_DAYS", 0, "retention.E006"),
    ],
)
def test_times_that_would_make_a_certificate_lie_are_refused(
    settings: LazySettings, name: str, value: int, code: str
) -> None:
    setattr(settings, name, value)

    assert code in {message.id for message in run_checks()}


# Who may read it ------------------------------------------------------------------------------------------------


def test_a_certificate_is_for_its_owner_alone(client: Client, shoot: Shoot, person: User) -> None:
    (certificate,) = purge(shoot)
    addresses = [certificate.get_absolute_url(), f"/retention/shoots/{shoot.pk}/"]

    assert [client.get(address).status_code for address in addresses] == [404, 404]
    client.force_login(make_user())
    assert [client.get(address).status_code for address in addresses] == [404, 404]
    client.force_login(User.objects.create_superuser("staff@example.org", "x"))
    assert [client.get(address).status_code for address in addresses] == [404, 404]
    client.force_login(person)
    page = client.get(addresses[0])
    assert page.status_code == 200
    assert certificate.reference in page.content.decode()
    assert page["Cache-Control"] == "no-store"


def test_the_shoots_page_leads_to_its_certificates(client: Client, shoot: Shoot, person: User) -> None:
    client.force_login(person)
    address = f"/retention/shoots/{shoot.pk}/"
    assert address not in client.get(shoot.get_absolute_url()).content.decode()
    assert "No deletion certificates yet" in client.get(address).content.decode()

    (first,) = purge(shoot)
    assert address in client.get(shoot.get_absolute_url()).content.decode()
    assert client.get(address).url == first.get_absolute_url()

    purge(shoot, everything=True)
    assert address in client.get(shoot.get_absolute_url()).content.decode()
    page = client.get(address).content.decode()
    assert all(certificate.reference in page for certificate in DeletionCertificate.objects.all())


def test_support_finds_a_certificate_by_its_number_and_cannot_change_it(client: Client, shoot: Shoot) -> None:
    (certificate,) = purge(shoot)
    client.force_login(User.objects.create_superuser("staff@example.org", "x"))

    found = client.get("/admin/retention/deletioncertificate/", {"q": certificate.reference}).content.decode()

    assert certificate.reference in found
    assert client.get(f"/admin/retention/deletioncertificate/{certificate.pk}/change/").status_code == 200
    assert (
        client.post(f"/admin/retention/deletioncertificate/{certificate.pk}/delete/", {"post": "yes"}).status_code
        == 403
    )


def test_every_kind_of_file_has_words(client: Client, shoot: Shoot, person: User) -> None:
    (certificate,) = purge(shoot, everything=True)
    KeyDestruction.objects.filter(ring="source").update(
        counts={"subject": 1, "self_description": 1, "something_new": 2}
    )
    KeyDestruction.objects.filter(ring="result").update(counts={"headshot": 4, "web": 4, "profile": 3})

    client.force_login(person)
    page = client.get(certificate.get_absolute_url()).content.decode()

    assert "1 portrait prepared for rendering" in page
    assert "your answers about yourself" in page
    assert "2 other encrypted files" in page
    assert "4 finished headshots" in page
    assert "4 smaller versions" in page
    assert "3 square versions" in page


# The mail -------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(shoot: Shoot) -> DeletionCertificate:
    return purge(shoot)[0]


def test_the_mail_is_sent_once_however_often_it_is_asked_for(certificate: DeletionCertificate, person: User) -> None:
    assert mail_certificate(certificate)
    assert mail_certificate(certificate)
    mail_waiting_certificates()

    (message,) = mail.outbox
    assert message.to == [person.email]
    assert message.subject == f"Your photos have been deleted ({certificate.reference})"
    assert "1 photo" in message.body
    assert "Key destroyed:" in message.body
    assert "We don’t keep backups" in message.body
    assert person.email not in message.body
    assert "&" not in message.body


def test_the_mail_about_an_account_is_read_after_its_end_and_says_so(person: User) -> None:
    User.objects.update(deletion_requested_at=timezone.now())
    number = uuid4()
    certificate = begin_account_certificate(owner=person, certificate_id=number, requested_by="person")

    assert mail_certificate(certificate)

    (message,) = mail.outbox
    assert (certificate.pk, certificate.title) == (number, "Your account is being deleted")
    assert message.subject == f"Your account has been deleted ({certificate.reference})"
    certificate.done_at = timezone.now()
    assert certificate.title == "Your account has been deleted"


def test_the_purge_sends_it_on_its_way_by_its_id_on_the_queue_that_may_wait(
    shoot: Shoot, valkey: "object", django_capture_on_commit_callbacks: "object"
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        purge(shoot)

    messages = [json.loads(message) for message in valkey.lrange("default", 0, -1)]
    (sent,) = [message for message in messages if message["headers"]["task"] == "retention.mail_certificate"]
    assert str(DeletionCertificate.objects.get().pk) in sent["headers"]["argsrepr"]


def test_a_mail_leads_to_the_page_where_the_site_has_an_address(
    certificate: DeletionCertificate, settings: LazySettings
) -> None:
    settings.HEADSHOTS_SITE_URL = "https://headshots.example.org"

    mail_certificate(certificate)

    assert f"https://headshots.example.org{certificate.get_absolute_url()}" in mail.outbox[0].body


@pytest.mark.parametrize("kind", ["shoot", "account"])
@pytest.mark.parametrize("requested_by", ["person", "staff", "system"])
def test_the_mail_goes_on_with_a_capital_letter(kind: str, requested_by: str) -> None:
    made = DeletionCertificate(kind=kind, requested_by=requested_by)

    hello, first = render_to_string("retention/mail/certificate.txt", {"certificate": made}).split("\n\n")[:2]

    assert hello == "Hello,"
    assert first[0].isupper()
    assert "This is your deletion certificate." in first


def test_nobody_is_written_to_after_the_account_has_gone(certificate: DeletionCertificate, person: User) -> None:
    person.delete()

    assert not mail_certificate(certificate)
    assert not mail.outbox
    assert DeletionCertificate.objects.get().owner is None


def test_who_is_leaving_gets_no_mail_about_a_single_shoot(certificate: DeletionCertificate) -> None:
    User.objects.update(deletion_requested_at=timezone.now())

    assert not mail_certificate(certificate)
    assert not mail.outbox


def test_a_mail_server_that_was_away_gets_it_later(
    certificate: DeletionCertificate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, person: User
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(certificates, "send_mail", _refuse)
        assert not mail_certificate(certificate)
    # Its message may still be on its way.
    assert mail_waiting_certificates() == 0
    DeletionCertificate.objects.update(begun_at=timezone.now() - timedelta(minutes=10))

    assert mail_waiting_certificates() == 1
    assert len(mail.outbox) == 1
    assert person.email not in caplog.text


def test_an_old_certificate_is_not_mailed_any_more(certificate: DeletionCertificate) -> None:
    DeletionCertificate.objects.update(begun_at=timezone.now() - timedelta(days=3))

    assert mail_waiting_certificates() == 0


def _refuse(*message: object) -> None:
    raise SMTPServerDisconnected


# The end of the proofs --------------------------------------------------------------------------------------------


def test_proofs_stay_for_the_stated_time_and_then_go_with_what_is_left_of_the_shoot(
    shoot: Shoot, settings: LazySettings
) -> None:
    settings.HEADSHOTS_DELETION_RECORD_DAYS = 100
    (certificate,) = purge(shoot, everything=True)
    assert certificate.keep_until - certificate.begun_at == pytest.approx(timedelta(days=100), abs=timedelta(seconds=5))
    assert delete_expired_certificates() == 0

    DeletionCertificate.objects.update(keep_until=timezone.now())

    assert delete_expired_certificates() == 1
    for model in (DeletionCertificate, KeyDestruction, Consent, Shoot, Pack, Event):
        assert not model.objects.exists(), model


def test_the_end_of_the_photos_proof_leaves_headshots_that_are_still_there(shoot: Shoot) -> None:
    purge(shoot)
    DeletionCertificate.objects.update(keep_until=timezone.now())

    assert delete_expired_certificates() == 1
    assert Shoot.objects.exists()
    assert Consent.objects.exists()

    purge(shoot, everything=True)
    DeletionCertificate.objects.update(keep_until=timezone.now())
    assert delete_expired_certificates() == 1
    assert not Shoot.objects.exists()


def test_the_later_of_two_certificates_ends_the_shoot(shoot: Shoot) -> None:
    purge(shoot)
    second, first = purge(shoot, everything=True)
    DeletionCertificate.objects.filter(pk=first.pk).update(keep_until=timezone.now())

    assert delete_expired_certificates() == 1
    assert Shoot.objects.exists()
    assert list(DeletionCertificate.objects.all()) == [second]


def test_payments_without_an_account_stay_as_long_as_tax_law_asks_and_then_go(
    person: User, settings: LazySettings
) -> None:
    settings.HEADSHOTS_PAYMENT_RETENTION_DAYS = 100
    gone, kept = make_payment(None), make_payment(person)
    recent = make_payment(None)
    Payment.objects.exclude(pk=recent.pk).update(created_at=timezone.now() - timedelta(days=101))

    assert delete_expired_payments() == 1

    assert set(Payment.objects.all()) == {kept, recent}
    assert not Credit.objects.filter(payment=gone.pk).exists()
