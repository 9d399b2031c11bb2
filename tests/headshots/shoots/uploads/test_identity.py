"""Several photos, one person: found over all of them, in any order, and decided by the person where we cannot know."""

from functools import cache

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image

from headshots import engine
from headshots.accounts.models import User
from headshots.engine import clean_upload
from headshots.shoots.models import Event, FaceCrop, Pack, Photo, Shoot
from headshots.shoots.packs import prepared_subjects
from headshots.shoots.uploads import photo_checks
from headshots.shoots.uploads.identity import NOT_IN_IT, UNDECIDED, choose_faces
from headshots.shoots.uploads.new_shoot import open_shoot
from headshots.vault import services as vault
from headshots.vault.models import Blob
from tests.helpers import photos
from tests.helpers.factories import (
    cleaned_astronaut,
    cleaned_two_people,
    make_checked_shoot,
    make_shoot,
    make_user,
    seed_styles,
)

pytestmark = pytest.mark.django_db

# Their faces in the photo of both, widest first.
BIDEN, OBAMA = 0, 1


@cache
def obama() -> bytes:
    return clean_upload(photos.obama_path().read_bytes())


@cache
def obama_speaking() -> bytes:
    return clean_upload(photos.obama_speaking_path().read_bytes())


@cache
def biden() -> bytes:
    return clean_upload(photos.encode(photos.biden()[:1400]))


def check_all(shoot: Shoot) -> Shoot:
    for photo in Photo.objects.filter(shoot=shoot):
        photo_checks.check_photo(photo=photo)
    return shoot


def states(shoot: Shoot) -> list[tuple[str, list[str]]]:
    return list(shoot.photos.values_list("state", "reasons"))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_whoever_is_in_most_photos_is_the_person_in_any_order(order: tuple[int, ...]) -> None:
    pictures = [obama(), cleaned_astronaut(), obama_speaking()]

    shoot = make_checked_shoot(None, *(pictures[index] for index in order))

    refused = ("refused", ["not_same_person"])
    assert states(shoot) == [refused if index == 1 else ("accepted", []) for index in order]
    assert Pack.objects.get(shoot=shoot).kind == Pack.Kind.PREVIEW


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_in_a_photo_of_two_the_person_of_the_other_photos_is_proposed(order: tuple[int, ...]) -> None:
    pictures = [obama(), cleaned_two_people(), obama_speaking()]

    shoot = make_checked_shoot(None, *(pictures[index] for index in order))

    asking = shoot.photos.get(state=Photo.State.CHOOSE_FACE)
    assert asking.position == order.index(1)
    assert asking.proposed_face == OBAMA
    assert not asking.picked
    assert not Pack.objects.exists()


def test_confirming_the_proposal_starts_the_preview(client: Client) -> None:
    person = make_user()
    shoot = make_checked_shoot(person, obama(), cleaned_two_people())
    client.force_login(person)
    asking = shoot.photos.get(state=Photo.State.CHOOSE_FACE)

    page = client.get(f"/shoots/{shoot.pk}/").content.decode()
    client.post(f"/shoots/{shoot.pk}/faces/", {f"face-{asking.pk}": str(asking.proposed_face)})
    photo_checks.resolve_identity(shoot=shoot)

    asking.refresh_from_db()
    assert f'value="{asking.proposed_face}" required checked' in page
    assert asking.picked
    assert asking.state in Photo.USABLE
    assert Pack.objects.get(shoot=shoot).kind == Pack.Kind.PREVIEW


def test_picking_another_face_makes_the_photos_of_the_proposed_one_those_of_a_stranger() -> None:
    shoot = make_checked_shoot(None, obama(), cleaned_two_people(), obama_speaking())
    asking = shoot.photos.get(state=Photo.State.CHOOSE_FACE)

    assert choose_faces(shoot=shoot, answers={asking.pk: BIDEN})
    photo_checks.resolve_identity(shoot=shoot)

    asking.refresh_from_db()
    assert asking.state in Photo.USABLE
    assert shoot.photos.filter(reasons=["not_same_person"]).count() == 2
    assert Pack.objects.filter(shoot=shoot).count() == 1


def test_a_group_without_the_person_is_proposed_as_such_and_refused_when_they_agree() -> None:
    shoot = make_checked_shoot(None, cleaned_astronaut(), cleaned_astronaut(), cleaned_two_people())
    asking = shoot.photos.get(state=Photo.State.CHOOSE_FACE)
    assert asking.proposed_face == NOT_IN_IT

    assert choose_faces(shoot=shoot, answers={asking.pk: NOT_IN_IT})
    photo_checks.resolve_identity(shoot=shoot)

    asking.refresh_from_db()
    assert (asking.state, asking.reasons) == ("refused", ["not_same_person"])
    assert Event.objects.filter(name="photo.refused", actor=Event.Actor.PERSON).count() == 1
    assert Pack.objects.filter(shoot=shoot).exists()


def test_two_photos_of_two_people_are_a_question_because_only_the_person_knows(client: Client) -> None:
    person = make_user()
    shoot = make_checked_shoot(person, biden(), obama())
    client.force_login(person)
    assert [state for state, _ in states(shoot)] == ["choose_face", "choose_face"]
    assert FaceCrop.objects.filter(photo__shoot=shoot).count() == 2
    first, second = shoot.photos.all()
    assert first.proposed_face == second.proposed_face == UNDECIDED

    page = client.get(f"/shoots/{shoot.pk}/").content.decode()
    client.post(f"/shoots/{shoot.pk}/faces/", {f"face-{first.pk}": "none", f"face-{second.pk}": "0"})
    photo_checks.resolve_identity(shoot=shoot)

    assert "Is this you in photo 1?" in page
    assert 'data-live="no"' in page
    assert states(shoot)[0] == ("refused", ["not_same_person"])
    assert states(shoot)[1][0] == "accepted"
    assert Pack.objects.filter(shoot=shoot).exists()


def test_two_people_who_are_both_picked_are_not_made_one() -> None:
    shoot = make_checked_shoot(None, biden(), obama())

    assert choose_faces(shoot=shoot, answers=dict.fromkeys(shoot.photos.values_list("pk", flat=True), 0))
    photo_checks.resolve_identity(shoot=shoot)

    assert sorted(state for state, _ in states(shoot)) == ["accepted", "refused"]


@pytest.mark.parametrize(("ask_first", "state"), [(True, "choose_face"), (False, "accepted")])
def test_a_person_who_wants_to_pick_their_face_is_asked_about_small_faces_too(ask_first: bool, state: str) -> None:
    seed_styles()
    pixels = photos.obama()
    small = np.asarray(Image.fromarray(photos.astronaut()[30:230, 130:330]).resize((120, 120)))
    pixels[300:420, 720:840] = small
    photo = clean_upload(photos.encode(pixels))

    shoot = check_all(open_shoot(owner=make_user(), photos=[photo], ask_first=ask_first))

    assert [found for found, _ in states(shoot)] == [state]
    assert FaceCrop.objects.filter(photo__shoot=shoot).count() == (2 if ask_first else 0)


def test_whoever_wants_to_be_asked_first_has_no_other_face_embedded(monkeypatch) -> None:
    seed_styles()
    shoot = open_shoot(owner=make_user(), photos=[obama(), cleaned_two_people()], ask_first=True)
    embedded: list[list[int]] = []
    real = engine.group_faces

    def watched(seen):
        embedded.append([each.candidates for each in seen])
        return real(seen)

    monkeypatch.setattr(engine, "group_faces", watched)
    check_all(shoot)
    asking = shoot.photos.get(state=Photo.State.CHOOSE_FACE)
    assert asking.proposed_face is None
    assert embedded == []

    choose_faces(shoot=shoot, answers={asking.pk: OBAMA})
    photo_checks.resolve_identity(shoot=shoot)

    assert embedded == [[[0], [OBAMA]]]
    assert Pack.objects.filter(shoot=shoot).exists()


def test_nothing_of_a_comparison_is_stored() -> None:
    before = make_checked_shoot(None, cleaned_two_people())
    kinds = set(Blob.objects.filter(key_id=before.pk).values_list("kind", flat=True))

    shoot = make_checked_shoot(None, obama(), cleaned_two_people())

    assert set(Blob.objects.filter(key_id=shoot.pk).values_list("kind", flat=True)) == kinds


def test_answers_for_other_peoples_photos_and_faces_that_are_not_there_change_nothing(client: Client) -> None:
    shoot, foreign = make_checked_shoot(None, cleaned_two_people()), make_checked_shoot(None, cleaned_two_people())
    mine, theirs = shoot.photos.get(), foreign.photos.get()
    client.force_login(shoot.owner)

    for answers in ({theirs.pk: 0}, {mine.pk: 9}, {mine.pk: -7}, {mine.pk: 0, theirs.pk: 0}, {}):
        assert not choose_faces(shoot=shoot, answers=answers)
    for words in ({}, {f"face-{mine.pk}": "nose"}, {"face-x": "0"}, {f"face-{theirs.pk}": "0"}):
        answer = client.post(f"/shoots/{shoot.pk}/faces/", words, follow=True)
        assert "Please pick one of the faces" in answer.content.decode()
    stranger = client.post(f"/shoots/{foreign.pk}/faces/", {f"face-{theirs.pk}": "0"})

    assert stranger.status_code == 404
    assert set(Photo.objects.values_list("state", flat=True)) == {"choose_face"}


def test_the_best_photo_makes_the_preview_and_the_page_says_which(client: Client) -> None:
    person = make_user()
    shoot = make_checked_shoot(person, cleaned_astronaut(), cleaned_astronaut())
    client.force_login(person)
    better = shoot.photos.last()
    Photo.objects.filter(pk=better.pk).update(score=better.score + 1)

    page = client.get(f"/shoots/{shoot.pk}/").content.decode()

    assert prepared_subjects.best_first(shoot.photos.all())[0] == better
    assert page.count("This is your best photo") == 1
    assert page.index("This is your best photo") > page.index(f'id="photo-{better.pk}"')


def test_a_photo_that_is_not_checked_yet_keeps_the_others_waiting() -> None:
    shoot = make_shoot(None, obama(), biden())
    photo_checks.check_photo(photo=shoot.photos.first())

    assert [state for state, _ in states(shoot)] == ["accepted", "uploaded"]
    assert not Pack.objects.exists()


def test_a_shoot_whose_key_has_gone_is_purged_instead(client: Client) -> None:
    shoot = make_shoot(None, obama(), cleaned_two_people())
    first, second = shoot.photos.all()
    photo_checks.check_photo(photo=first)
    photo_checks.check_photo(photo=second)
    vault.destroy_key(ring="source", key_id=shoot.pk)

    photo_checks.resolve_identity(shoot=shoot)

    shoot.refresh_from_db()
    assert shoot.state != Shoot.State.OPEN


@pytest.fixture
def signed_in(client: Client) -> tuple[Client, User]:
    person = make_user()
    client.force_login(person)
    return client, person


def test_the_upload_form_offers_to_be_asked_first(signed_in) -> None:
    client, person = signed_in
    file = SimpleUploadedFile("me.jpg", photos.astronaut_path().read_bytes(), "image/png")
    consents = {"consent": "on", "is_me": "on"}

    page = client.get("/shoots/new/").content.decode()
    client.post("/shoots/new/", {"photos": file, "ask_first": "on", **consents})

    assert "Let me pick my face first" in page
    assert Shoot.objects.get(owner=person).ask_first
