"""An account deleted while something crashes or is away: finished all the same."""

from datetime import timedelta
from smtplib import SMTPServerDisconnected
from uuid import uuid4

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from headshots.accounts.models import User
from headshots.data_rights import services, tasks
from headshots.retention import certificates
from headshots.retention.models import DeletionCertificate
from headshots.shoots.models import Shoot
from headshots.vault import services as vault
from headshots.vault.errors import VaultError, VaultUnavailable
from headshots.vault.models import Blob
from headshots.vault.rings import open_ring
from tests.headshots.data_rights.account import EMAIL, away, delete_account
from tests.helpers.factories import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


class Killed(BaseException):
    """The process is gone: nothing of ours may catch it."""


@pytest.mark.parametrize("step", ["_refund_unused_packs", "_purge_everything", "_mail_certificate", "_delete_account"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_between_two_steps_the_deletion_is_finished_by_beat(
    ada: User, shoot: Shoot, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    real = getattr(services, step)

    def die(owner: User) -> bool:
        if moment == "after":
            real(owner)
        raise Killed

    services.begin_account_deletion(owner=ada, certificate_id=uuid4())
    with monkeypatch.context() as patch:
        patch.setattr(services, step, die)
        with pytest.raises(Killed):
            services.finish_account_deletion(owner=ada)

    tasks.finish_account_deletion()
    tasks.finish_account_deletion()

    assert not User.objects.exists()
    assert not Blob.objects.exists()
    assert DeletionCertificate.objects.get().done_at
    assert len(mail.outbox) == 1


def test_keys_die_at_once_even_when_no_file_can_be_removed(
    browser: Client, shoot: Shoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = list(Blob.objects.all())
    with monkeypatch.context() as patch:
        patch.setattr(vault, "delete_files", away)
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

    tasks.finish_account_deletion()

    assert not User.objects.exists()
    assert "Your account has been deleted" in browser.get(response.url).content.decode()


def test_a_mail_server_that_is_away_holds_up_the_address_for_an_hour_and_no_longer(
    browser: Client, shoot: Shoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*message: object) -> None:
        raise SMTPServerDisconnected

    monkeypatch.setattr(certificates, "send_mail", refuse)
    delete_account(browser)
    assert not Blob.objects.exists()
    assert User.objects.exists()

    User.objects.update(deletion_requested_at=timezone.now() - timedelta(hours=2))
    tasks.finish_account_deletion()

    assert not User.objects.exists()
    assert DeletionCertificate.objects.get().done_at


def test_who_is_leaving_cannot_sign_in_again(ada: User, client: Client) -> None:
    services.begin_account_deletion(owner=ada, certificate_id=uuid4())

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

    tasks.finish_account_deletion()

    assert not User.objects.exists()
    assert not Blob.objects.exists()
