"""A photo of a child is refused politely, and an adult who was mistaken for one can have that ended."""

import pytest
from django.conf import LazySettings
from django.test import Client

from headshots import engine
from headshots.accounts.models import User
from headshots.shoots.uploads.photo_checks import check_photo
from pipeline.faces.age import AgeNetwork
from tests.helpers.factories import make_shoot, seed_styles
from tests.helpers.staff import client_of, do

pytestmark = pytest.mark.django_db


def test_who_is_mistaken_for_a_child_can_have_that_ended(
    client: Client, person: User, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AgeNetwork, "child_share", lambda *_: 0.97)
    settings.HEADSHOTS_SUPPORT_EMAIL = "help@example.org"
    client.force_login(person)

    seed_styles()
    refused = make_shoot(person)
    check_photo(photo=refused.photos.get())

    photo = refused.photos.get()
    assert (photo.state, photo.reasons) == ("refused", [engine.Reason.CHILD.value])
    page = client.get(refused.get_absolute_url()).content.decode()
    assert "This looks like a photo of a child." in page
    assert "mailto:help@example.org" in page
    assert not refused.packs.exists()

    do(client_of("support"), "confirm-adult", person)
    accepted = make_shoot(User.objects.get(pk=person.pk))
    check_photo(photo=accepted.photos.get())

    assert accepted.photos.get().state == "accepted"
    assert accepted.packs.get().kind == "preview"
