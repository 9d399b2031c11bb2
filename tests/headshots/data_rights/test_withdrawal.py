"""Consent taken back, of one shoot or of all."""

import pytest
from django.test import Client

from headshots.accounts.models import User
from headshots.retention import purging as retention
from headshots.retention.models import DeletionCertificate
from headshots.shoots.models import Consent, Event, Headshot, Shoot
from headshots.vault import services as vault
from headshots.vault.models import Blob
from headshots.vault.rings import open_ring
from tests.headshots.data_rights.account import away
from tests.helpers.factories import make_shoot, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


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
    assert DeletionCertificate.objects.get().reference in page
    assert "Consent withdrawn" in page


def test_withdrawing_twice_is_withdrawing_once(browser: Client, shoot: Shoot) -> None:
    for _ in range(2):
        assert browser.post(f"/account/consent/{shoot.pk}/withdraw/").status_code == 302

    assert Event.objects.filter(name="shoot.consent_withdrawn").count() == 1
    assert DeletionCertificate.objects.count() == 1


def test_withdrawing_after_the_photos_went_takes_the_headshots(browser: Client, shoot: Shoot) -> None:
    retention.begin_purge(shoot)
    retention.purge_shoot(shoot=shoot)

    browser.post(f"/account/consent/{shoot.pk}/withdraw/")

    assert not Headshot.objects.exists()
    assert DeletionCertificate.objects.count() == 2


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
        patch.setattr(vault, "delete_files", away)
        assert browser.post(f"/account/consent/{shoot.pk}/withdraw/").status_code == 302
    assert Shoot.objects.get().state == Shoot.State.PURGING
    assert not open_ring("source").key_ids()

    from headshots.retention.due import purge_due

    purge_due()

    assert Shoot.objects.get().state == Shoot.State.PURGED
