"""One shoot forgotten: in the right order, to the end, and nothing else."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import ManyToOneRel
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from headshots.retention.due import purge_due
from headshots.retention.models import DeletionCertificate
from headshots.retention.purging import purge_shoot
from headshots.shoots.lifecycle import advance, begin_purge
from headshots.shoots.models import Consent, Event, FaceCrop, Headshot, Pack, Photo, Preparation, Shoot
from headshots.vault import services as vault
from headshots.vault.errors import KeyGone
from headshots.vault.models import Blob
from tests.headshots.retention.private import (
    blob_files,
    events,
    make_shoot,
    pack_in,
    source_blob,
    source_key_lives,
    state_of,
)

pytestmark = pytest.mark.django_db


def test_a_purge_takes_the_key_the_files_and_the_rows_of_the_photos(shoot, data_folder):
    begin_purge(shoot)

    assert purge_shoot(shoot=shoot)
    assert not source_key_lives(shoot)
    assert not Blob.objects.filter(ring="source").exists()
    assert not Photo.objects.exists()
    assert not FaceCrop.objects.exists()
    assert len(blob_files(data_folder)) == 1  # the headshot of the delivered pack
    assert (shoot.state, shoot.purged_at is not None) == (Shoot.State.PURGED, True)


def test_a_purge_leaves_the_proofs(shoot):
    begin_purge(shoot)
    purge_shoot(shoot=shoot)

    assert Consent.objects.filter(shoot=shoot).exists()
    assert events(shoot) == ["shoot.purging", "pack.canceled", "pack.deleted", "shoot.purged"]
    numbers = Event.objects.get(name="shoot.purged").numbers
    assert (numbers["blobs"], numbers["rows"]) == (6, 4)


def test_finished_headshots_stay_readable_after_the_photos_went(shoot):
    delivered = pack_in(shoot, "delivered")
    begin_purge(shoot)
    purge_shoot(shoot=shoot)

    delivered.refresh_from_db()
    assert delivered.state == Pack.State.DELIVERED
    assert vault.read_blob(delivered.headshots.get(index=0).blob) == b"a headshot"


@pytest.mark.parametrize("state", [state for state in Pack.LIVE if state != Pack.State.AWAITING_ANSWER])
def test_a_pack_that_is_still_being_made_is_stopped_and_what_it_had_goes_with_the_photos(owner, data_folder, state):
    shoot = make_shoot(owner, packs=(state,))
    begin_purge(shoot)
    assert (shoot.packs.get().state, shoot.packs.get().reason) == (Pack.State.CANCELED, Pack.Reason.PHOTOS_DELETED)

    purge_shoot(shoot=shoot)

    pack = shoot.packs.get()
    assert (pack.state, pack.reason) == (Pack.State.DELETED, Pack.Reason.PHOTOS_DELETED)
    assert not vault.key_exists(ring="result", key_id=pack.pk)
    assert blob_files(data_folder) == []
    assert DeletionCertificate.objects.get().key_destructions.count() == 2


@pytest.mark.parametrize("state", ["canceled", "revoked"])
def test_what_a_stopped_pack_had_goes_at_once_also_while_the_photos_stay(owner, state):
    shoot = make_shoot(owner, packs=("rendering", "delivered"))
    advance(pack_in(shoot, "rendering"), state)

    assert purge_due().packs == 1
    assert state_of(shoot) == Shoot.State.OPEN
    assert Headshot.objects.filter(pack__shoot=shoot).count() == 2


def test_everything_takes_the_headshots_too(shoot, data_folder):
    packs = list(shoot.packs.all())
    begin_purge(shoot, everything=True)

    assert purge_shoot(shoot=shoot)
    assert blob_files(data_folder) == []
    assert not Blob.objects.exists()
    assert not Headshot.objects.exists()
    assert not any(vault.key_exists(ring="result", key_id=pack.pk) for pack in packs)
    assert set(shoot.packs.values_list("state", flat=True)) == {Pack.State.DELETED}


def test_everything_can_be_asked_for_after_the_photos_went(shoot, data_folder):
    begin_purge(shoot)
    purge_shoot(shoot=shoot)
    photos_went = shoot.purged_at
    begin_purge(shoot, everything=True)

    assert purge_shoot(shoot=shoot)
    assert blob_files(data_folder) == []
    assert shoot.purged_at == photos_went


def test_who_asks_for_everything_in_the_middle_of_a_purge_gets_it(shoot, data_folder, monkeypatch):
    begin_purge(shoot)
    asked = monkeypatch_once(
        monkeypatch, vault, "delete_files", lambda: begin_purge(Shoot.objects.get(pk=shoot.pk), everything=True)
    )

    assert not purge_shoot(shoot=shoot)
    assert asked
    purge_due()
    assert blob_files(data_folder) == []
    assert not Headshot.objects.exists()


def test_an_open_shoot_is_not_purged(shoot):
    assert not purge_shoot(shoot=shoot)
    assert source_key_lives(shoot)
    assert Photo.objects.count() == 2


def test_purging_twice_is_purging_once(shoot):
    begin_purge(shoot)

    assert purge_shoot(shoot=shoot)
    assert not purge_shoot(shoot=shoot)
    assert events(shoot).count("shoot.purged") == 1


def test_the_log_tells_once_what_went_by_its_id(shoot, caplog):
    caplog.set_level("INFO", "headshots.retention.purging")
    packs = {str(pack.pk) for pack in shoot.packs.all()}
    begin_purge(shoot, everything=True)
    purge_shoot(shoot=shoot)
    purge_shoot(shoot=shoot)

    deleted, purged = [line.message for line in caplog.records if line.name == "headshots.retention.purging"]
    assert deleted.startswith("packs deleted: ")
    assert set(deleted.split()[2:]) == packs
    assert purged == f"shoots purged: {shoot.pk}"


def test_other_shoots_are_not_touched(shoot, owner):
    other = make_shoot(owner)
    begin_purge(shoot, everything=True)
    purge_shoot(shoot=shoot)

    assert source_key_lives(other)
    assert all(vault.read_blob(photo.blob) == b"a face" for photo in other.photos.all())
    assert other.packs.filter(state__in=["delivered", "rendering"]).count() == 2


def test_a_late_check_or_render_stores_nothing(shoot, data_folder):
    pack = pack_in(shoot, "rendering")
    begin_purge(shoot, everything=True)
    purge_shoot(shoot=shoot)

    for ring, key_id in (("source", shoot.pk), ("result", pack.pk)):
        with pytest.raises(KeyGone):
            vault.write_blob(ring=ring, key_id=key_id, kind="late", data=b"a face")
    assert blob_files(data_folder) == []
    assert not Blob.objects.exists()


def test_what_a_person_said_and_was_prepared_of_them_goes_with_the_photos(owner):
    shoot = make_shoot(owner, packs=("rendering", "queued"))
    Shoot.objects.filter(pk=shoot.pk).update(self_description_blob=source_blob(shoot, "self_description"))
    lease = {"lease_token": uuid4(), "lease_until": timezone.now(), "began_at": timezone.now()}
    Preparation.objects.create(pack=pack_in(shoot, "rendering"), blob=source_blob(shoot, "subject"), **lease)
    begun = Preparation.objects.create(pack=pack_in(shoot, "queued"), **lease)
    begin_purge(shoot)

    assert purge_shoot(shoot=shoot)
    assert shoot.self_description_blob is None
    assert Preparation.objects.get() == begun
    assert not Blob.objects.exists()


def test_on_rows_that_are_deleted_straight_away_hangs_nothing_that_a_purge_does_not_name():
    # What is new here has to be deleted, or set to none, by `purge_shoots` and `delete_packs` as well.
    hangs = {
        f"{relation.related_model.__name__}.{relation.field.name}"
        for model in (Photo, FaceCrop, Headshot, Preparation, Blob)
        for relation in model._meta.get_fields(include_hidden=True)
        if isinstance(relation, ManyToOneRel)
    }

    named = {"Photo": ["blob", "faces_blob"], "Headshot": ["blob", "web_blob", "profile_blob"]}
    named["Headshot"].append("thumbnail_blob")
    named |= {"FaceCrop": ["photo", "blob"], "Preparation": ["blob"], "Shoot": ["self_description_blob"]}
    assert hangs == {f"{model}.{field}" for model, fields in named.items() for field in fields}


@pytest.mark.django_db(transaction=True)
def test_a_row_that_still_refers_to_a_blob_keeps_all_rows(shoot):
    with pytest.raises(IntegrityError), transaction.atomic():
        vault.delete_blobs(ring="source", key_ids=[shoot.pk])

    assert Blob.objects.filter(key_id=shoot.pk).count() == 6


def test_many_shoots_cost_as_many_statements_as_one(owner):
    purge_due()
    counted = []
    for many in (1, 30):
        for _ in range(many):
            make_shoot(owner, due_in=timedelta(seconds=-1), packs=("delivered",))
        with CaptureQueriesContext(connection) as queries:
            assert purge_due().shoots == many
        counted.append(len(queries))

    assert counted[0] == counted[1]


def monkeypatch_once(monkeypatch: pytest.MonkeyPatch, module: object, name: str, before: Callable[[], object]):
    """Do something just before the next call of module.name: what another process does at that moment."""
    real, called = getattr(module, name), []

    def wrapper(**arguments):
        monkeypatch.setattr(module, name, real)
        called.append(before())
        return real(**arguments)

    monkeypatch.setattr(module, name, wrapper)
    return called
