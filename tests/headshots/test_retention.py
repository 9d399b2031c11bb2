"""Forgetting: on time, in the right order, to the end, and again after every crash."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks
from django.core.mail import send_mail
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import ManyToOneRel
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from headshots.accounts.models import User
from headshots.celery import app
from headshots.retention.due import delivered_packs, due_guests, due_shoots, expired_packs, purge_due, unmarked_shoots
from headshots.retention.journal import truncate_journal
from headshots.retention.models import Receipt
from headshots.retention.orphans import sweep_orphans, unowned
from headshots.retention.services import forget_pack, purge_delivered, purge_shoot
from headshots.shoots.lifecycle import advance, begin_purge
from headshots.shoots.models import Consent, Event, FaceCrop, Headshot, Pack, Photo, Preparation, Shoot, Style
from headshots.shoots.uploads import previews_left
from headshots.vault import services as vault
from headshots.vault.errors import KeyGone
from headshots.vault.models import Blob
from headshots.vault.rings import Ring, open_ring, ring_folder
from headshots.vault.services import blob_store, name_of
from headshots.vault.store import FileStore
from headshots.web.durations import in_words
from tests import factories

ROOT = Path(__file__).resolve().parents[2]
DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db
only_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite's own files")


@pytest.fixture(autouse=True)
def data_folder(settings: LazySettings, tmp_path: Path) -> Path:
    settings.HEADSHOTS_DATA_DIR = tmp_path / "data"
    settings.HEADSHOTS_SOURCE_RING_DIR = tmp_path / "source"
    settings.HEADSHOTS_RESULT_RING_DIR = tmp_path / "result"
    settings.HEADSHOTS_RESULT_DAYS = 30
    return tmp_path / "data"


@pytest.fixture
def owner() -> User:
    return User.objects.create(email="person@example.org")


@pytest.fixture
def shoot(owner: User) -> Shoot:
    """A shoot a minute old, with two photos, face crops and a delivered and a rendering pack."""
    return make_shoot(owner)


def make_shoot(owner: User | None, *, due_in: timedelta = DAY, packs: tuple[str, ...] = ("delivered", "rendering")):
    shoot = Shoot.objects.create(owner=owner, delete_after=timezone.now() + due_in)
    vault.create_key(ring="source", key_id=shoot.pk, expires_at=timezone.now() + DAY)
    Consent.objects.create(shoot=shoot, consent_version="1", is_me_version="1")
    for position in range(2):
        photo = Photo.objects.create(
            shoot=shoot,
            position=position,
            state=Photo.State.ACCEPTED,
            blob=source_blob(shoot, "photo"),
            faces_blob=source_blob(shoot, "faces"),
        )
        FaceCrop.objects.create(photo=photo, index=0, blob=source_blob(shoot, "face_crop"))
    for state in packs:
        make_pack(shoot, state)
    return shoot


def source_blob(shoot: Shoot, kind: str) -> Blob:
    return vault.write_blob(ring="source", key_id=shoot.pk, kind=kind, data=b"a face")


def make_pack(shoot: Shoot, state: str) -> Pack:
    """A pack with one finished headshot and one that waits. Of the kind `trial`: a shoot may have any number."""
    style, _ = Style.objects.get_or_create(name="corporate", title="Corporate")
    expires_at = timezone.now() + 30 * DAY if state == "delivered" else None
    pack = Pack.objects.create(
        shoot=shoot,
        kind=Pack.Kind.TRIAL,
        state=state,
        engine="fake",
        total=2,
        seed=1,
        width=64,
        height=80,
        expires_at=expires_at,
    )
    vault.create_key(ring="result", key_id=pack.pk)
    blob = vault.write_blob(ring="result", key_id=pack.pk, kind="headshot", data=b"a headshot")
    Headshot.objects.create(pack=pack, index=0, style=style, seed=1, state=Headshot.State.DONE, blob=blob)
    Headshot.objects.create(pack=pack, index=1, style=style, seed=2)
    return pack


def pack_in(shoot: Shoot, state: str) -> Pack:
    return Pack.objects.get(shoot=shoot, state=state)


def path_of(blob: Blob) -> Path:
    store = blob_store()
    assert isinstance(store, FileStore)
    return store.path(name_of(blob))


def blob_files(data_folder: Path) -> list[Path]:
    return [path for path in (data_folder / "blobs").rglob("*") if path.is_file()]


def source_key_lives(shoot: Shoot) -> bool:
    return vault.key_exists(ring="source", key_id=shoot.pk)


def lose_source_ring() -> None:
    """What a reboot does."""
    shutil.rmtree(ring_folder(Ring.SOURCE))


def events(shoot: Shoot) -> list[str]:
    return list(Event.objects.filter(shoot_id=shoot.pk).values_list("name", flat=True))


# One shoot ----------------------------------------------------------------------------------------------------------


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
    assert events(shoot) == ["shoot.purging", "pack.cancelled", "pack.forgotten", "shoot.purged"]
    numbers = Event.objects.get(name="shoot.purged").numbers
    assert (numbers["blobs"], numbers["rows"]) == (6, 4)


def test_finished_headshots_stay_readable_after_the_photos_went(shoot):
    delivered = pack_in(shoot, "delivered")
    begin_purge(shoot)
    purge_shoot(shoot=shoot)

    delivered.refresh_from_db()
    assert delivered.state == Pack.State.DELIVERED
    assert vault.read_blob(delivered.headshots.get(index=0).blob) == b"a headshot"


@pytest.mark.parametrize("state", Pack.LIVE)
def test_a_pack_that_is_still_being_made_is_stopped_and_what_it_had_goes_with_the_photos(owner, data_folder, state):
    shoot = make_shoot(owner, packs=(state,))
    begin_purge(shoot)
    assert (shoot.packs.get().state, shoot.packs.get().reason) == (Pack.State.CANCELLED, "photos_deleted")

    purge_shoot(shoot=shoot)

    pack = shoot.packs.get()
    assert (pack.state, pack.reason) == (Pack.State.FORGOTTEN, "photos_deleted")
    assert not vault.key_exists(ring="result", key_id=pack.pk)
    assert blob_files(data_folder) == []
    assert Receipt.objects.get().destructions.count() == 2


@pytest.mark.parametrize("state", ["cancelled", "revoked"])
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
    assert set(shoot.packs.values_list("state", flat=True)) == {Pack.State.FORGOTTEN}


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
    Shoot.objects.filter(pk=shoot.pk).update(person_blob=source_blob(shoot, "person"))
    lease = {"lease_token": uuid4(), "lease_until": timezone.now(), "began_at": timezone.now()}
    Preparation.objects.create(pack=pack_in(shoot, "rendering"), blob=source_blob(shoot, "subject"), **lease)
    begun = Preparation.objects.create(pack=pack_in(shoot, "queued"), **lease)
    begin_purge(shoot)

    assert purge_shoot(shoot=shoot)
    assert shoot.person_blob is None
    assert Preparation.objects.get() == begun
    assert not Blob.objects.exists()


def test_on_rows_that_are_deleted_straight_away_hangs_nothing_that_a_purge_does_not_name():
    # What is new here has to be deleted, or set to none, by `purge_shoots` and `forget_packs` as well.
    hangs = {
        f"{relation.related_model.__name__}.{relation.field.name}"
        for model in (Photo, FaceCrop, Headshot, Preparation, Blob)
        for relation in model._meta.get_fields(include_hidden=True)
        if isinstance(relation, ManyToOneRel)
    }

    named = {"Photo": ["blob", "faces_blob"], "Headshot": ["blob", "web_blob", "profile_blob"]}
    named |= {"FaceCrop": ["photo", "blob"], "Preparation": ["blob"], "Shoot": ["person_blob"]}
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


# Delivery -----------------------------------------------------------------------------------------------------------


def deliver(shoot: Shoot, kind: str) -> Pack:
    pack = make_pack(shoot, "rendering")
    Pack.objects.filter(pk=pack.pk).update(kind=kind)
    pack.refresh_from_db()
    assert advance(pack, Pack.State.DELIVERED)
    return pack


def state_of(shoot: Shoot) -> str:
    shoot.refresh_from_db()
    return shoot.state


def test_a_delivery_starts_the_purge_by_name(owner, valkey, django_capture_on_commit_callbacks):
    shoot = make_shoot(owner, packs=())
    with django_capture_on_commit_callbacks(execute=True):
        deliver(shoot, Pack.Kind.PREMIUM)

    assert b"retention.purge_delivered" in valkey.lindex("retention", 0)


def test_photos_go_as_soon_as_the_premium_pack_is_delivered_and_the_headshots_stay(
    owner, data_folder, django_capture_on_commit_callbacks
):
    shoot = make_shoot(owner, packs=())
    pack = deliver(shoot, Pack.Kind.PREMIUM)
    app.loader.import_default_modules()
    with django_capture_on_commit_callbacks(execute=True):
        app.tasks["retention.purge_delivered"](str(pack.pk))

    assert state_of(shoot) == Shoot.State.PURGING
    assert not source_key_lives(shoot)
    assert purge_shoot(shoot=shoot)
    assert len(blob_files(data_folder)) == 1
    assert pack_in(shoot, "delivered") == pack


@pytest.mark.parametrize("kind", [Pack.Kind.PREVIEW, Pack.Kind.TRIAL])
def test_photos_stay_after_any_other_delivery(owner, kind):
    shoot = make_shoot(owner, packs=())
    deliver(shoot, kind)

    assert not purge_delivered(shoot=shoot)
    assert purge_due().shoots == 0
    assert state_of(shoot) == Shoot.State.OPEN


def test_photos_that_the_person_keeps_for_another_pack_stay_until_they_are_due(owner):
    shoot = make_shoot(owner, packs=())
    Shoot.objects.update(keep_photos=True)
    deliver(shoot, Pack.Kind.PREMIUM)

    assert not purge_delivered(shoot=shoot)
    assert purge_due().shoots == 0
    Shoot.objects.update(delete_after=timezone.now())
    assert purge_due().shoots == 1


@pytest.mark.parametrize("state", Pack.LIVE)
def test_photos_stay_while_another_pack_is_to_be_made_of_them_and_go_after_its_end(owner, state):
    shoot = make_shoot(owner, packs=(state,))
    deliver(shoot, Pack.Kind.PREMIUM)
    assert not purge_delivered(shoot=shoot)
    assert purge_due().shoots == 0

    advance(pack_in(shoot, state), Pack.State.CANCELLED)

    assert purge_due().shoots == 1


def test_beat_finds_a_delivery_whose_message_was_lost(owner):
    shoot = make_shoot(owner, packs=())
    deliver(shoot, Pack.Kind.PREMIUM)

    assert purge_due().shoots == 1
    assert state_of(shoot) == Shoot.State.PURGED


# Crashes ------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone: nothing of ours may catch it."""


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[None]:
    """Die instead of the step-th change to the disk or the database: every removal of a file, every writing query."""
    left = step

    def count() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    def unlink(path: str | Path, *, dir_fd: int | None = None, real: Callable[..., None] = os.unlink) -> None:
        count()
        real(path, dir_fd=dir_fd)

    def query(execute, sql, params, many, context):
        if sql.startswith(("UPDATE", "DELETE", "INSERT")):
            count()
        return execute(sql, params, many, context)

    with monkeypatch.context() as patch, connection.execute_wrapper(query):
        patch.setattr(os, "unlink", unlink)
        yield


def assert_order_kept(shoot: Shoot, data_folder: Path, blobs: dict[UUID, list[Path]]) -> None:
    """Whatever moment this is: no file went before its key, no row before its file, no shoot is done too early."""
    for key_id, paths in blobs.items():
        ring = "source" if key_id == shoot.pk else "result"
        gone = [path for path in paths if not path.exists()]
        rows = Blob.objects.filter(key_id=key_id).count()
        if gone:
            assert not vault.key_exists(ring=ring, key_id=key_id)
        if rows < len(paths):
            assert gone == paths
    shoot.refresh_from_db()
    if shoot.state == Shoot.State.PURGED:
        assert blob_files(data_folder) == []


@pytest.mark.django_db(transaction=True)
def test_killed_between_any_two_steps_a_purge_is_finished_by_beat(owner, data_folder, monkeypatch):
    steps = 0
    while True:
        shoot = make_shoot(owner, packs=("delivered", "rendering"))
        begin_purge(shoot, everything=True)
        blobs = {
            key_id: [path_of(blob) for blob in Blob.objects.filter(key_id=key_id)]
            for key_id in (shoot.pk, *shoot.packs.values_list("pk", flat=True))
        }
        try:
            with killed_at(monkeypatch, steps):
                purge_shoot(shoot=shoot)
        except Killed:
            assert_order_kept(shoot, data_folder, blobs)
            purge_due()
            killed = True
        else:
            killed = False
        shoot.refresh_from_db()
        assert shoot.state == Shoot.State.PURGED
        assert events(shoot).count("shoot.purged") == 1
        assert events(shoot).count("pack.forgotten") == 2
        assert Receipt.objects.get(shoot_id=shoot.pk).destructions.filter(done_at__isnull=False).count() == 3
        assert blob_files(data_folder) == []
        assert open_ring("source").key_ids() == open_ring("result").key_ids() == []
        assert not Blob.objects.exists()
        if not killed:
            break
        steps += 1
    # The purge was killed at each of its steps, and there were many.
    assert steps > 25, steps


def ids_of(key_id: UUID) -> list[UUID]:
    return list(Blob.objects.filter(key_id=key_id).values_list("id", flat=True))


def monkeypatch_once(monkeypatch: pytest.MonkeyPatch, module: object, name: str, before: Callable[[], object]):
    """Do something just before the next call of module.name: what another process does at that moment."""
    real, called = getattr(module, name), []

    def wrapper(**arguments):
        monkeypatch.setattr(module, name, real)
        called.append(before())
        return real(**arguments)

    monkeypatch.setattr(module, name, wrapper)
    return called


# On time ------------------------------------------------------------------------------------------------------------


def test_beat_purges_what_is_due_and_nothing_else(owner, shoot):
    due = make_shoot(owner, due_in=timedelta(seconds=-1))

    assert purge_due().shoots == 1
    due.refresh_from_db()
    shoot.refresh_from_db()
    assert (due.state, shoot.state) == (Shoot.State.PURGED, Shoot.State.OPEN)
    assert due.packs.filter(state="delivered").exists()


def test_beat_finds_nothing_to_do_the_second_time(owner):
    make_shoot(owner, due_in=timedelta(seconds=-1))
    purge_due()
    before = Event.objects.count()

    again = purge_due()

    assert (again.keys, again.shoots, again.packs, again.failed) == (0, 0, 0, 0)
    assert Event.objects.count() == before


def test_a_guests_shoot_loses_everything_when_it_is_due(data_folder):
    guest = make_shoot(None, due_in=timedelta(seconds=-1))
    purge_due()

    assert set(guest.packs.values_list("state", flat=True)) == {Pack.State.FORGOTTEN}
    assert blob_files(data_folder) == []


def test_a_guest_who_deleted_the_photos_early_keeps_the_headshots_until_then(data_folder):
    guest = make_shoot(None, due_in=DAY)
    begin_purge(guest)
    purge_shoot(shoot=guest)
    purge_due()
    assert pack_in(guest, "delivered")

    Shoot.objects.filter(pk=guest.pk).update(delete_after=timezone.now())
    purge_due()

    assert blob_files(data_folder) == []


def test_a_lost_ring_purges_open_shoots_and_cancels_what_was_being_made(shoot, data_folder):
    lose_source_ring()

    assert purge_due().shoots == 1
    shoot.refresh_from_db()
    assert shoot.state == Shoot.State.PURGED
    assert pack_in(shoot, "forgotten").reason == "photos_lost"
    assert vault.read_blob(pack_in(shoot, "delivered").headshots.get(index=0).blob) == b"a headshot"


def test_who_lost_photos_to_a_restart_is_asked_to_upload_again_and_has_lost_no_free_pack(owner, client):
    shoot = make_shoot(owner, packs=("rendering",))
    Pack.objects.update(kind=Pack.Kind.PREVIEW)
    left = previews_left(owner)
    lose_source_ring()
    purge_due()
    client.force_login(owner)

    page = client.get(f"/shoots/{shoot.pk}/").content.decode()

    assert "was restarted" in page
    assert f'href="{reverse("shoots:new")}"' in page
    assert "headshots have been deleted" not in page
    assert previews_left(owner) == left + 1


def test_shoots_whose_key_lives_are_not_taken_for_lost(owner):
    living, since_lost = make_shoot(owner), make_shoot(owner)
    lose_source_ring()
    # One that came after the loss, and one whose mark is of before it though its key is not.
    Shoot.objects.filter(pk=living.pk).update(ring_mark=vault.source_ring_mark())
    vault.create_key(ring="source", key_id=since_lost.pk, expires_at=timezone.now() + DAY)

    assert purge_due().shoots == 0


def test_an_upload_bears_the_mark_of_the_ring_that_its_key_is_on(person):
    assert factories.make_shoot(person).ring_mark == vault.source_ring_mark()


def test_a_key_that_expired_before_beat_came_is_swept_and_its_shoot_purged(owner, time_machine):
    shoot = make_shoot(owner)
    time_machine.move_to(timezone.now() + DAY)

    purged = purge_due()

    assert (purged.keys, purged.shoots) == (1, 1)
    assert not Photo.objects.filter(shoot=shoot).exists()


def test_keys_of_nobody_are_swept_when_they_expire(time_machine):
    vault.create_key(ring="source", key_id=uuid4(), expires_at=timezone.now() + timedelta(seconds=1))
    time_machine.move_to(timezone.now() + timedelta(seconds=2))

    assert purge_due().keys == 1


def test_what_cannot_be_purged_now_does_not_keep_the_rest(owner, monkeypatch, caplog):
    stuck = make_shoot(owner, due_in=timedelta(seconds=-1))
    other = make_shoot(owner, due_in=timedelta(seconds=-1))
    stubborn = ids_of(stuck.pk)[0]
    delete = FileStore.delete

    def failing(self, names):
        if stubborn in {name.blob_id for name in names}:
            raise PermissionError(13, "read-only file system")
        return delete(self, names)

    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "delete", failing)
        first = purge_due()
    stuck.refresh_from_db()
    other.refresh_from_db()
    assert (first.shoots, first.failed) == (1, 1)
    assert (stuck.state, other.state) == (Shoot.State.PURGING, Shoot.State.PURGED)
    # Its photos are noise all the same, and the log names it by id.
    assert not source_key_lives(stuck)
    assert str(stuck.pk) in caplog.text

    assert purge_due().shoots == 1


@only_sqlite
@pytest.mark.parametrize(
    ("question", "range_of"),
    [
        (due_shoots, "state=? AND delete_after<?"),
        (due_guests, "owner_id=? AND delete_after<?"),
        (lambda: Shoot.objects.filter(state=Shoot.State.PURGING), "state=?"),
        (lambda: unmarked_shoots(uuid4())[0], "state=? AND ring_mark<?"),
        (lambda: unmarked_shoots(uuid4())[1], "state=? AND ring_mark>?"),
        (lambda: unmarked_shoots(uuid4())[2], "state=? AND ring_mark=?"),
        (lambda: delivered_packs().select_related("shoot"), "state=? AND delivered_at>?"),
        (expired_packs, "state=? AND expires_at<?"),
        (lambda: unowned(Blob.objects.filter(ring="source", id__gte=uuid4(), id__lte=uuid4())), "ring=? AND id>?"),
    ],
)
def test_what_is_due_is_one_range_of_an_index_so_what_is_not_due_costs_nothing(question, range_of):
    first, *others = [line.strip() for line in question().order_by().explain().splitlines()]

    assert "USING INDEX" in first, first
    assert range_of in first, first
    assert not any("SCAN " in line for line in others), others


# Headshots ----------------------------------------------------------------------------------------------------------


def test_a_pack_is_forgotten_when_it_expires(shoot):
    pack = pack_in(shoot, "delivered")
    assert purge_due().packs == 0

    Pack.objects.filter(pk=pack.pk).update(expires_at=timezone.now())

    assert purge_due().packs == 1
    pack.refresh_from_db()
    assert pack.state == Pack.State.FORGOTTEN
    assert not vault.key_exists(ring="result", key_id=pack.pk)
    assert not Headshot.objects.filter(pack=pack).exists()
    assert not Blob.objects.filter(key_id=pack.pk).exists()


def test_what_a_failed_pack_had_is_shown_as_long_as_a_delivered_one(owner, time_machine):
    shoot = make_shoot(owner, packs=("rendering",))
    advance(pack_in(shoot, "rendering"), Pack.State.FAILED)
    time_machine.move_to(timezone.now() + 30 * DAY - timedelta(seconds=10))
    assert purge_due().packs == 0

    time_machine.shift(timedelta(seconds=11))

    assert purge_due().packs == 1
    assert not Headshot.objects.exists()


def test_a_failed_pack_that_is_tried_again_is_not_forgotten_meanwhile(owner, time_machine):
    shoot = make_shoot(owner, packs=("rendering",))
    advance(pack_in(shoot, "rendering"), Pack.State.FAILED)
    advance(pack_in(shoot, "failed"), Pack.State.QUEUED)

    assert pack_in(shoot, "queued").expires_at is None


@pytest.mark.parametrize("state", Pack.LIVE)
def test_a_live_pack_is_not_forgotten(owner, state):
    pack = make_shoot(owner, packs=(state,)).packs.get()
    Pack.objects.update(created_at=timezone.now() - 30 * DAY)
    purge_due()

    assert not forget_pack(pack=pack)
    assert vault.key_exists(ring="result", key_id=pack.pk)


def test_forgetting_keeps_the_reason_why_a_pack_ended(owner):
    pack = make_shoot(owner, packs=("failed",)).packs.get()
    Pack.objects.update(reason="engine_failed")

    assert forget_pack(pack=pack)
    assert not forget_pack(pack=pack)
    assert pack.reason == "engine_failed"


# Orphans ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_hours_later(shoot, time_machine):
    """What the shoot has is old enough now to be looked at."""
    time_machine.move_to(timezone.now() + timedelta(hours=2))


@pytest.mark.usefixtures("two_hours_later")
def test_the_sweep_leaves_what_belongs_to_somebody(data_folder):
    swept = sweep_orphans()

    assert (swept.files, swept.blobs, swept.lost) == (0, 0, 0)
    assert Blob.objects.count() == len(blob_files(data_folder)) == 8


def test_files_without_a_row_and_unfinished_ones_are_removed_once_they_are_old(shoot, data_folder, time_machine):
    photo = Photo.objects.first()
    stray = photo.blob
    unfinished = path_of(stray).with_name(f"{stray.id}.0123456789abcdef.tmp")
    unfinished.write_bytes(b"noise")
    photo.delete()
    Blob.objects.filter(id=stray.id).delete()
    assert sweep_orphans().files == 0

    time_machine.move_to(timezone.now() + timedelta(hours=2))
    swept = sweep_orphans()

    assert (swept.files, swept.unfinished) == (1, 1)
    assert not path_of(stray).exists()
    assert not unfinished.exists()


def test_blobs_without_an_owner_are_removed_with_their_files_once_they_are_old(shoot, data_folder, time_machine):
    orphan = source_blob(shoot, "face_crop")
    assert sweep_orphans().blobs == 0

    time_machine.move_to(timezone.now() + timedelta(hours=2))

    assert sweep_orphans().blobs == 1
    assert not Blob.objects.filter(id=orphan.id).exists()
    assert len(blob_files(data_folder)) == 8


@pytest.mark.usefixtures("two_hours_later")
def test_a_lost_file_is_reported_and_its_row_stays_for_its_owner(shoot, caplog):
    photo = Photo.objects.first()
    path_of(photo.blob).unlink()

    assert sweep_orphans().lost == 1
    assert Blob.objects.filter(id=photo.blob_id).exists()
    assert "lost" in caplog.text


@pytest.mark.usefixtures("two_hours_later")
def test_a_file_that_went_before_its_row_in_a_purge_is_not_lost(shoot):
    vault.destroy_key(ring="source", key_id=shoot.pk)
    vault.delete_files(ring="source", key_ids=[shoot.pk])

    assert sweep_orphans().lost == 0


@pytest.mark.parametrize("count", [4, 5, 6, 10])
def test_the_sweep_goes_through_more_than_one_batch(count, time_machine, monkeypatch):
    monkeypatch.setattr(vault, "AT_ONCE", 5)
    key_id = uuid4()
    vault.create_key(ring="result", key_id=key_id)
    blobs = [vault.write_blob(ring="result", key_id=key_id, kind="headshot", data=b"") for _ in range(count)]
    Blob.objects.filter(id__in=[blob.id for blob in blobs[::2]]).delete()
    time_machine.move_to(timezone.now() + timedelta(hours=2))

    swept = sweep_orphans()

    assert (swept.files, swept.blobs) == ((count + 1) // 2, count // 2)


def test_mails_in_files_are_removed_after_a_day(settings, tmp_path):
    settings.EMAIL_FILE_PATH = tmp_path / "mail"
    settings.EMAIL_BACKEND = "headshots.accounts.mail_files.MailFiles"
    send_mail("Confirm", "the link", None, ["person@example.org"])
    (mail,) = (tmp_path / "mail").glob("*.log")
    assert sweep_orphans().mails == 0

    a_day_ago = timezone.now().timestamp() - 86_401
    os.utime(mail, (a_day_ago, a_day_ago))

    assert sweep_orphans().mails == 1
    assert not mail.exists()


# On the disk --------------------------------------------------------------------------------------------------------

LIFE_AND_DEATH = """
import io, os, sys, django
django.setup()
from datetime import timedelta
from pathlib import Path
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from PIL import Image
from headshots.retention.due import delivered_packs, due_guests, due_shoots, expired_packs, purge_due, unmarked_shoots
from headshots.shoots.models import Photo, Shoot
from headshots.vault import services as vault

call_command("migrate", verbosity=0)
connection.cursor().execute("PRAGMA wal_autocheckpoint = 0")
out = io.BytesIO()
Image.effect_noise((300, 300), 80).convert("RGB").save(out, "JPEG")
secret = 0.7351904862715
shoot = Shoot.objects.create(delete_after=timezone.now())
vault.create_key(ring="source", key_id=shoot.pk, expires_at=timezone.now() + timedelta(hours=1))
for position in range(5):
    blob = vault.write_blob(ring="source", key_id=shoot.pk, kind="photo", data=out.getvalue())
    Photo.objects.create(shoot=shoot, position=position, blob=blob, measurements=[{"sharpness": secret}] * 40)

def found():
    files = [path for path in Path(settings.HEADSHOTS_DATA_DIR).rglob("*") if path.is_file()]
    contents = [path.read_bytes() for path in files]
    picture = out.getvalue()
    pieces = [picture[start : start + 16] for start in range(0, len(picture) - 16, 1000)]
    rows = sum(str(secret).encode() in content for content in contents)
    pictures = sum(any(piece in content for piece in pieces) for content in contents)
    for content in contents:
        try:
            Image.open(io.BytesIO(content))
        except Image.UnidentifiedImageError:
            continue
        pictures += 1
    return f"rows {rows} pictures {pictures} blobs {sum('blobs' in str(path) for path in files)}"

print("before:", found())
print("purged:", purge_due().shoots)
print("after:", found())
"""


def test_nothing_private_is_left_in_any_file_below_the_data_folder(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADSHOTS_")} | {
        "DJANGO_SETTINGS_MODULE": "headshots.settings",
        "HEADSHOTS_DEBUG": "1",
        "HEADSHOTS_DATA_DIR": str(tmp_path / "disk"),
        "HEADSHOTS_SOURCE_RING_DIR": str(tmp_path / "source"),
        "HEADSHOTS_RESULT_RING_DIR": str(tmp_path / "result"),
    }
    (tmp_path / "disk").mkdir()
    told = subprocess.run(
        [sys.executable, "-c", LIFE_AND_DEATH],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert told.stdout.splitlines() == [
        "before: rows 1 pictures 0 blobs 5",
        "purged: 1",
        "after: rows 0 pictures 0 blobs 0",
    ], told.stderr


@only_sqlite
def test_within_a_transaction_the_journal_is_left_alone():
    # The test itself runs in one: the log cannot be emptied before it ends.
    assert not truncate_journal()


# The command --------------------------------------------------------------------------------------------------------


def test_the_command_purges_one_shoot(shoot, capsys):
    call_command("purge", shoot=shoot.pk)

    assert capsys.readouterr().out == f"Shoot {shoot.pk} is purged.\n"
    assert not Photo.objects.exists()
    assert Headshot.objects.exists()
    assert Event.objects.get(name="shoot.purging").actor == Event.Actor.STAFF


def test_the_command_purges_everything_of_one_shoot_also_later(shoot):
    call_command("purge", "--shoot", str(shoot.pk))
    call_command("purge", "--shoot", str(shoot.pk), "--everything")
    call_command("purge", "--shoot", str(shoot.pk), "--everything")

    assert not Headshot.objects.exists()
    assert not Blob.objects.exists()


def test_the_command_forgets_a_pack_that_has_ended_and_no_other(shoot):
    call_command("purge", "--pack", str(pack_in(shoot, "delivered").pk))
    with pytest.raises(CommandError, match="not ended"):
        call_command("purge", "--pack", str(pack_in(shoot, "rendering").pk))

    assert pack_in(shoot, "forgotten")


def test_the_command_purges_what_is_due(owner, capsys):
    make_shoot(owner, due_in=timedelta(seconds=-1))
    call_command("purge", "--all-due")

    assert capsys.readouterr().out == "1 shoots purged, 0 packs forgotten, 0 keys expired.\n"


def test_the_command_sweeps_orphans(shoot, time_machine, capsys):
    source_blob(shoot, "face_crop")
    time_machine.move_to(timezone.now() + timedelta(hours=2))
    call_command("purge", "--orphans")

    assert capsys.readouterr().out == "0 files, 1 blobs, 0 keys removed; 0 blobs lack their file.\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["--everything"], ["--all-due", "--everything"], ["--shoot", str(uuid4())], ["--pack", str(uuid4())]],
    ids=str,
)
def test_the_command_refuses_what_makes_no_sense(arguments):
    with pytest.raises(CommandError):
        call_command("purge", *arguments)


# The page, the schedule, the checks -----------------------------------------------------------------------------------


def test_anybody_can_read_the_schedule_and_it_names_the_numbers_that_hold_here(client: Client, settings):
    settings.HEADSHOTS_SOURCE_TTL_SECONDS = 5400
    settings.HEADSHOTS_RESULT_DAYS = 17
    page = client.get("/retention/")

    assert page.status_code == 200
    assert reverse("retention:schedule") == "/retention/"
    assert "within 90 minutes" in page.content.decode()
    assert "17 days from delivery" in page.content.decode()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a tmpfs")  # noqa: S108
def test_the_schedule_says_in_memory_only_where_that_is_so(client: Client, settings):
    settings.HEADSHOTS_SOURCE_RING_DIR = Path("/dev/shm/headshots-test")  # noqa: S108
    assert "in the computer’s memory only" in client.get("/retention/").content.decode()

    settings.HEADSHOTS_SOURCE_RING_DIR = Path("/proc/none")
    assert "in a temporary folder" in client.get("/retention/").content.decode()


def test_the_schedule_cannot_be_posted_to(client: Client):
    assert client.post("/retention/").status_code == 405


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (20, "20 seconds"),
        (60, "1 minute"),
        (5400, "90 minutes"),
        (3600, "1 hour"),
        (86_400, "24 hours"),
        (86_399, "86399 seconds"),
        (2 * 86_400, "2 days"),
        (30 * 86_400, "30 days"),
    ],
)
def test_times_are_told_as_people_say_them(seconds, words):
    assert in_words(seconds) == words


def test_beat_knows_the_tasks_of_retention():
    app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}

    assert {"retention.purge_due", "retention.sweep_orphans"} <= scheduled & app.tasks.keys()
    assert "retention.purge_shoot" in app.tasks


def test_the_task_purges_by_id(shoot):
    begin_purge(shoot)
    app.loader.import_default_modules()
    app.tasks["retention.purge_shoot"](str(shoot.pk))

    shoot.refresh_from_db()
    assert shoot.state == Shoot.State.PURGED


def retention_findings() -> list[str]:
    return sorted(str(finding.id) for finding in run_checks(tags=["security"]) if str(finding.id).startswith("reten"))


def test_the_settings_of_this_repository_pass_the_checks():
    assert retention_findings() == []


@pytest.fixture
def beat() -> Iterator[dict[str, dict[str, object]]]:
    """Beat's schedule, to be changed by a test and put back after it."""
    usual = dict(app.conf.beat_schedule)
    yield app.conf.beat_schedule
    app.conf.beat_schedule.clear()
    app.conf.beat_schedule.update(usual)


@pytest.mark.parametrize("every", [61.0, timedelta(minutes=5), None])
def test_a_beat_that_purges_too_rarely_is_refused(beat, every):
    beat.clear()
    if every:
        beat["slow"] = {"task": "retention.purge_due", "schedule": every}

    assert retention_findings() == ["retention.E001", "retention.E002"]


@only_sqlite
def test_an_sqlite_that_keeps_deleted_rows_is_refused(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})

    assert retention_findings() == ["retention.E003"]
