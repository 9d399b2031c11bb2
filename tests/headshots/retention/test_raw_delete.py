"""What purges need of Django's private `_raw_delete`: one statement, no cascade, and the checks of the database."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.signals import post_delete, pre_delete
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from headshots.accounts.models import User
from headshots.shoots.models import Photo, Shoot
from headshots.vault.models import Blob


@pytest.fixture
def deletions() -> Iterator[list[object]]:
    """Rows that Django says it deletes."""
    seen: list[object] = []

    def note(instance: object, **_signal: object) -> None:
        seen.append(instance)

    pre_delete.connect(note)
    post_delete.connect(note)
    yield seen
    pre_delete.disconnect(note)
    post_delete.disconnect(note)


def make_photo() -> Photo:
    owner = User.objects.create(email="person@example.org")
    shoot = Shoot.objects.create(owner=owner, delete_after=timezone.now() + timedelta(hours=23))
    blob = Blob.objects.create(ring="source", key_id=shoot.pk, kind="photo", size=1)
    return Photo.objects.create(shoot=shoot, position=0, state=Photo.State.ACCEPTED, blob=blob)


@pytest.mark.django_db
def test_the_chosen_rows_go_in_one_statement_without_signals(deletions: list[object]) -> None:
    shoot_id = make_photo().shoot_id
    kept = Blob.objects.create(ring="source", key_id=shoot_id, kind="kept", size=1)
    blobs = [Blob.objects.create(ring="source", key_id=shoot_id, kind="gone", size=1) for _ in range(3)]
    chosen = Blob.objects.filter(pk__in=[blob.pk for blob in blobs])

    with CaptureQueriesContext(connection) as queries:
        count = chosen._raw_delete(chosen.db)

    assert [query["sql"].split()[0] for query in queries] == ["DELETE"]
    assert count == 3
    assert not chosen.exists()
    assert Blob.objects.filter(pk=kept.pk).exists()
    assert deletions == []


@pytest.mark.django_db(transaction=True)
def test_a_row_that_others_refer_to_does_not_go() -> None:
    photo = make_photo()
    blobs = Blob.objects.filter(pk=photo.blob_id)

    with pytest.raises(IntegrityError), transaction.atomic():
        blobs._raw_delete(blobs.db)

    assert blobs.exists()
    assert Photo.objects.filter(pk=photo.pk).exists()
