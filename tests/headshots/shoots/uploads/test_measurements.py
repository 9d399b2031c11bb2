"""What is measured of a face lies in the vault and in no table, and pages do without it."""

import re
from dataclasses import astuple, fields
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.utils import timezone

from headshots.shoots.models import Photo, Shoot
from headshots.shoots.uploads.identity import choose_faces
from headshots.vault import services as vault
from headshots.vault.errors import KeyGone
from pipeline.faces.serialization import unpack_measurements
from pipeline.photos.coach import advise
from pipeline.types import Measurements
from tests.helpers.factories import cleaned_astronaut, cleaned_two_people, make_checked_shoot, make_user

pytestmark = pytest.mark.django_db


def every_value() -> str:
    with connection.cursor() as cursor:
        values = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608  (Django's own name)
            values += [str(value) for row in cursor.fetchall() for value in row if value is not None]
    return "\0".join(values)


def measured(photo: Photo) -> list[Measurements]:
    assert photo.faces_blob
    return unpack_measurements(vault.read_blob(photo.faces_blob))


def test_no_table_holds_a_measurement_of_a_face_not_even_while_the_photo_is_here() -> None:
    shoot = make_checked_shoot(None, cleaned_astronaut(), cleaned_two_people())

    everything = every_value()

    faces = [face for photo in shoot.photos.all() for face in measured(photo)]
    spelt = {f"{value:.12g}"[:7] for face in faces for value in astuple(face) if value != round(value, 2)}
    assert len(faces) == 3
    assert len(spelt) > 20
    assert not [value for value in spelt if value in everything]
    assert not re.findall("|".join(field.name for field in fields(Measurements)), everything)


def test_no_model_has_a_field_of_that_name() -> None:
    names = {field.name for model in apps.get_models() for field in model._meta.get_fields()}

    assert not names & {"measurements", "embedding", "landmarks", "mesh", "box", "boxes", "key_points"}


def test_the_page_that_is_polled_reads_nothing_of_the_vault(client: Client) -> None:
    person = make_user()
    shoot = make_checked_shoot(person, cleaned_astronaut(), cleaned_two_people())
    client.force_login(person)
    before = client.get(f"/shoots/{shoot.pk}/progress/").content.decode()
    # Nothing can be read from now on.
    vault.destroy_key(ring="source", key_id=shoot.pk)

    after = client.get(f"/shoots/{shoot.pk}/progress/").content.decode()

    score = shoot.photos.get(position=0).score
    assert score is not None
    assert re.search(rf"<strong>{score}</strong>\s+out of 100", after)
    assert without_forms_secret(after) == without_forms_secret(before)


def without_forms_secret(page: str) -> str:
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)


def test_a_picked_face_gives_the_photo_its_own_score() -> None:
    shoot = make_checked_shoot(None, cleaned_two_people())
    photo = shoot.photos.get()
    faces = measured(photo)

    assert choose_faces(shoot=shoot, answers={photo.pk: 1})

    photo.refresh_from_db()
    advice = advise(faces[1])
    assert (photo.chosen_face, photo.score, photo.tips) == (1, advice.score, [tip.value for tip in advice.tips])
    assert photo.face_count == 2


def test_an_answer_after_the_key_was_lost_closes_the_shoot(client: Client) -> None:
    person = make_user()
    shoot = make_checked_shoot(person, cleaned_two_people())
    photo = shoot.photos.get()
    client.force_login(person)
    vault.destroy_key(ring="source", key_id=shoot.pk)

    answer = client.post(f"/shoots/{shoot.pk}/faces/", {f"face-{photo.pk}": "0"}, follow=True)

    shoot.refresh_from_db()
    assert answer.status_code == 200
    assert "Please pick one" not in answer.content.decode()
    assert shoot.state != Shoot.State.OPEN


def test_an_answer_whose_faces_cannot_be_read_changes_nothing_and_says_so(client: Client) -> None:
    person = make_user()
    shoot = make_checked_shoot(person, cleaned_two_people())
    photo = shoot.photos.get()
    client.force_login(person)
    assert photo.faces_blob
    vault.blob_store().delete([vault.name_of(photo.faces_blob)])

    answer = client.post(f"/shoots/{shoot.pk}/faces/", {f"face-{photo.pk}": "0"}, follow=True)

    photo.refresh_from_db()
    assert "try again in a minute" in answer.content.decode()
    assert photo.state == Photo.State.CHOOSE_FACE


def test_measurements_die_with_the_key_of_their_shoot() -> None:
    shoot = make_checked_shoot(None, cleaned_astronaut())
    photo = shoot.photos.get()
    assert measured(photo)
    assert shoot.delete_after < timezone.now() + timedelta(hours=24)

    vault.destroy_key(ring="source", key_id=shoot.pk)

    with pytest.raises(KeyGone):
        measured(photo)
