"""How a premium pack is made: its person prepared once, no two pictures alike, three files each, a clear end always."""

import errno
import io
import os
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.core.mail import EmailMessage
from django.db import Error, connection
from django.utils import timezone
from PIL import Image

from headshots import engine
from headshots.engine import rendering as engine_rendering
from headshots.shoots import tasks
from headshots.shoots.lifecycle import advance, begin_purge
from headshots.shoots.models import Event, Headshot, Pack, Preparation
from headshots.shoots.packs import leases, prepared_subjects, recovery, rendering
from headshots.shoots.packs.orders import cancel_pack
from headshots.shoots.packs.recovery import retry_pack
from headshots.vault.models import Blob
from headshots.vault.services import read_blob
from pipeline.engines.fake import FakeEngine
from pipeline.errors import FaceNotFound, PhotoRefused, Reason, WeightsError
from pipeline.files.provenance import read_provenance
from pipeline.types import Job, Picture, Progress, Size, SourcePhoto, Subject, ignore_progress
from tests.helpers.factories import deliver, make_premium

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

COUNT = 3


@pytest.fixture(autouse=True)
def small_packs(settings: LazySettings) -> None:
    settings.HEADSHOTS_PREMIUM_COUNT, settings.HEADSHOTS_PREMIUM_LONG_EDGE = COUNT, 800


class Counting(FakeEngine):
    """Remembers how often it prepared somebody; may be slow at it, or fail."""

    def __init__(self, seconds: float = 0.0, fault: Exception | None = None) -> None:
        self.prepared = 0
        self._wait = threading.Event()
        self._seconds, self._fault = seconds, fault

    def prepare(self, photos: Sequence[SourcePhoto], size: Size, on_progress: Progress = ignore_progress) -> Subject:
        self.prepared += 1
        self._wait.wait(self._seconds)
        if self._fault is not None:
            raise self._fault
        return super().prepare(photos, size, on_progress)


class NearDuplicateEngine(FakeEngine):
    """Gives the second shot the color of the first, `times` times."""

    def __init__(self, times: int) -> None:
        self._times = times

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        for job in jobs:
            (picture,) = super().render([job], size, on_progress)
            if job.shot.index < 2 and (job.shot.index == 0 or self._times > 0):
                self._times -= job.shot.index
                picture.pixels[:30], picture.pixels[-30:] = 200, 200
                picture.pixels[:, :32], picture.pixels[:, -32:] = 200, 200
            yield picture


def use(monkeypatch: pytest.MonkeyPatch, fake: FakeEngine) -> None:
    monkeypatch.setattr(engine_rendering, "create_engine", lambda *_: fake)
    engine_rendering._engine.cache_clear()


def render(pack: Pack) -> None:
    rendering.render_pack(pack=Pack.objects.select_related("shoot").get(pk=pack.pk))
    pack.refresh_from_db()


def render_first(pack: Pack, count: int) -> None:
    """Render so many headshots of a pack, as a worker that is killed then. Another one may have the others."""
    advance(pack, Pack.State.RENDERING)
    rows, others = rendering.claim(pack, count), rendering.claim(pack, COUNT)
    rendering._render_rows(pack, engine.Size(pack.width, pack.height), rows, rendering.Tally())
    Headshot.objects.filter(pk__in=[row.pk for row in others]).update(
        state=Headshot.State.PENDING, lease_token=None, lease_until=None
    )
    prepared_subjects._prepared_subjects.clear()
    assert pack.headshots.filter(state=Headshot.State.DONE).count() == count


def size_of(blob: Blob | None) -> tuple[int, int]:
    assert blob is not None
    return Image.open(io.BytesIO(read_blob(blob))).size


def let_rest(pack: Pack) -> None:
    """What time does after a fault."""
    Pack.objects.filter(pk=pack.pk).update(retry_at=timezone.now())


def files(settings: LazySettings) -> int:
    return sum(path.is_file() for path in (settings.HEADSHOTS_DATA_DIR / "blobs").rglob("*"))


def test_each_headshot_comes_as_three_files_marked_and_the_full_one_signed() -> None:
    pack = make_premium()

    render(pack)

    assert pack.state == Pack.State.DELIVERED
    rows = list(pack.headshots.all())
    assert [row.state for row in rows] == [Headshot.State.DONE] * COUNT
    assert {(size_of(row.blob), size_of(row.web_blob), size_of(row.profile_blob)) for row in rows} == {
        ((640, 800), (640, 800), (600, 600))
    }
    full, web = (read_provenance(read_blob(blob)) for blob in (rows[0].blob, rows[0].web_blob) if blob)
    assert full.credential is not None
    assert full.credential.intact
    assert full.digital_source == web.digital_source == full.credential.digital_source == "composite"


def test_a_preview_is_signed_too_and_comes_as_one_file(settings: LazySettings) -> None:
    settings.HEADSHOTS_PREVIEW_COUNT = 1
    pack = Pack.objects.get(shoot=make_premium().shoot, kind=Pack.Kind.PREVIEW)
    Pack.objects.filter(pk=pack.pk).update(state=Pack.State.QUEUED)

    render(pack)

    row = pack.headshots.first()
    assert row is not None
    assert row.blob is not None
    assert (row.web_blob, row.profile_blob) == (None, None)
    provenance = read_provenance(read_blob(row.blob))
    assert provenance.credential is not None
    assert provenance.credential.intact


def test_what_a_worker_did_is_told_in_numbers() -> None:
    pack = make_premium()

    render(pack)

    event = Event.objects.get(pack_id=pack.pk, name="pack.rendered")
    assert event.codes["kind"] == Pack.Kind.PREMIUM
    assert event.codes["engine"] == "fake"
    assert event.numbers["pictures"] == COUNT
    assert event.numbers["seconds"] > 0
    assert sum(value for key, value in event.numbers.items() if key.startswith("likeness_")) == COUNT
    assert Event.objects.get(pack_id=pack.pk, name="pack.prepared").numbers["photos"] == 1


# The person, prepared once ------------------------------------------------------------------------------------------


def test_whoever_goes_on_takes_the_person_from_the_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = make_premium()
    counting = Counting()
    use(monkeypatch, counting)
    render_first(pack, 2)

    render(pack)

    assert pack.state == Pack.State.DELIVERED
    assert counting.prepared == 1
    assert pack.headshots.filter(state=Headshot.State.DONE).count() == COUNT


@pytest.mark.django_db(transaction=True)
def test_two_workers_prepare_a_person_once_and_share_the_pack(monkeypatch: pytest.MonkeyPatch, valkey) -> None:
    pack = make_premium()
    counting = Counting(seconds=0.5)
    use(monkeypatch, counting)
    began = threading.Barrier(2)

    def work() -> None:
        try:
            began.wait()
            render(Pack.objects.get(pk=pack.pk))
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    pack.refresh_from_db()
    assert counting.prepared == 1
    assert pack.state == Pack.State.DELIVERED
    assert Blob.objects.filter(kind="headshot").count() == COUNT
    # The one who was ready called the other.
    assert valkey.llen("render") >= 1


def test_a_preparation_whose_worker_died_is_taken_over_and_the_third_death_fails_the_pack(
    monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    settings.HEADSHOTS_PREMIUM_COUNT = 2
    pack = make_premium()
    long_ago = timezone.now() - timedelta(minutes=5)
    counting = Counting()
    use(monkeypatch, counting)
    Preparation.objects.create(
        pack=pack, lease_token=pack.pk, lease_until=long_ago, began_at=long_ago, lease_holder="render@dead"
    )
    Pack.objects.filter(pk=pack.pk).update(consecutive_failures=1)

    render(pack)

    assert pack.state == Pack.State.DELIVERED
    assert (counting.prepared, pack.consecutive_failures) == (1, 0)

    other = make_premium()
    Preparation.objects.create(pack=other, lease_token=other.pk, lease_until=long_ago, began_at=long_ago)
    Pack.objects.filter(pk=other.pk).update(consecutive_failures=2)

    render(other)

    assert (other.state, other.reason) == (Pack.State.FAILED, Pack.Reason.ENGINE_FAILED)
    assert counting.prepared == 1


def test_a_worker_that_comes_back_frees_the_person_it_was_preparing(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = make_premium()
    monkeypatch.setattr(leases, "node_name", "render@here")
    soon = timezone.now() + timedelta(minutes=1)
    Preparation.objects.create(
        pack=pack, lease_token=pack.pk, lease_until=soon, began_at=soon, lease_holder="render@here"
    )

    leases.free_own_leases()

    assert not prepared_subjects.is_being_prepared(pack)


def test_nobody_works_on_a_pack_whose_person_another_worker_prepares(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = make_premium()
    soon = timezone.now() + timedelta(minutes=1)
    Preparation.objects.create(pack=pack, lease_token=pack.pk, lease_until=soon, began_at=timezone.now())

    render(pack)

    assert pack.state == Pack.State.RENDERING
    assert set(pack.headshots.values_list("state", "attempts")) == {(Headshot.State.PENDING, 0)}


def test_the_prepared_person_goes_when_the_pack_ends_and_with_the_photos(settings: LazySettings) -> None:
    settings.HEADSHOTS_PREMIUM_COUNT = 2
    pack = make_premium()
    render(pack)
    assert Blob.objects.filter(kind="subject", ring="source", key_id=pack.shoot_id).count() == 1

    tasks.delete_prepared_subject(str(pack.pk))

    assert not Blob.objects.filter(kind="subject").exists()
    assert not Preparation.objects.exists()
    assert pack.pk not in prepared_subjects._prepared_subjects


def test_at_most_two_people_are_in_memory(settings: LazySettings) -> None:
    settings.HEADSHOTS_PREMIUM_COUNT = 1
    packs = [make_premium() for _ in range(3)]
    for pack in packs:
        advance(pack, Pack.State.RENDERING)
        rows = rendering.claim(pack, 1)
        rendering._render_rows(pack, engine.Size(pack.width, pack.height), rows, rendering.Tally())

    assert list(prepared_subjects._prepared_subjects) == [pack.pk for pack in packs[1:]]
    begin_purge(packs[1].shoot)
    tasks.evict_ended_subjects()
    assert list(prepared_subjects._prepared_subjects) == [packs[2].pk]


# No two alike -------------------------------------------------------------------------------------------------------


def test_a_picture_that_looks_like_another_is_shot_again_in_another_place(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = make_premium()
    planned = pack.headshots.get(index=1)
    use(monkeypatch, NearDuplicateEngine(times=1))

    render(pack)

    moved = pack.headshots.get(index=1)
    assert pack.state == Pack.State.DELIVERED
    assert pack.reshoots == 1
    assert (moved.framing, moved.light) != (planned.framing, planned.light)
    on_its_set = pack.headshots.filter(style=moved.style).values_list("framing", "light")
    assert len(set(on_its_set)) == len(on_its_set)
    assert Event.objects.get(pack_id=pack.pk, name="pack.rendered").numbers["reshot_too_alike"] == 1


def test_pictures_that_stay_alike_fail_the_pack_instead_of_being_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = make_premium()
    use(monkeypatch, NearDuplicateEngine(times=100))

    render(pack)

    assert (pack.state, pack.reason) == (Pack.State.FAILED, "too_alike")
    assert pack.headshots.filter(state=Headshot.State.DONE).count() == COUNT - 1
    assert Blob.objects.filter(kind="headshot").count() == COUNT - 1


def test_the_pictures_of_another_worker_are_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = make_premium()
    use(monkeypatch, NearDuplicateEngine(times=1))
    render_first(pack, 1)

    render(pack)

    assert pack.reshoots == 1
    assert pack.state == Pack.State.DELIVERED


# What goes wrong ----------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing_half_written_and_ends_in_a_clear_state(
    monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    pack = make_premium()
    prepared_subjects._prepared_subjects.clear()
    before = files(settings)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for _ in range(3):
            render(pack)
            let_rest(pack)

    assert (pack.state, pack.reason) == (Pack.State.FAILED, Pack.Reason.STORAGE_FAILED)
    assert files(settings) == before
    assert not Blob.objects.filter(ring="result").exists()
    assert not Blob.objects.filter(kind="subject").exists()


def test_a_disk_that_has_room_again_costs_time_only(monkeypatch: pytest.MonkeyPatch, settings: LazySettings) -> None:
    settings.HEADSHOTS_PREMIUM_COUNT = 2
    pack = make_premium()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        render(pack)
    let_rest(pack)
    render(pack)

    assert pack.state == Pack.State.DELIVERED


def test_a_broken_weight_fails_the_pack_after_three_tries(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    pack = make_premium()
    counting = Counting(fault=WeightsError("The weight realesrgan_x4plus is cut short."))
    use(monkeypatch, counting)

    for _ in range(3):
        render(pack)
        let_rest(pack)

    assert (pack.state, pack.reason, counting.prepared) == (Pack.State.FAILED, Pack.Reason.ENGINE_BROKEN, 3)
    assert "realesrgan_x4plus is cut short" in caplog.text
    assert not Preparation.objects.exists()
    assert set(pack.headshots.values_list("state", flat=True)) == {Headshot.State.PENDING}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (FaceNotFound("not seen"), "no_face"),
        (PhotoRefused(Reason.UNREADABLE), "unreadable"),
        (Error(), Pack.Reason.STORAGE_FAILED),
    ],
)
def test_a_pack_says_what_it_failed_for(monkeypatch: pytest.MonkeyPatch, fault: Exception, reason: str) -> None:
    pack = make_premium()
    use(monkeypatch, Counting(fault=fault))
    Pack.objects.filter(pk=pack.pk).update(consecutive_failures=2)

    with pytest.raises(type(fault)):
        render(pack)

    assert Pack.objects.get(pk=pack.pk).reason == reason


def test_a_failed_pack_that_staff_queues_again_keeps_what_was_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = make_premium()
    use(monkeypatch, NearDuplicateEngine(times=100))
    render(pack)
    kept = set(pack.headshots.filter(state=Headshot.State.DONE).values_list("blob_id", flat=True))
    use(monkeypatch, NearDuplicateEngine(times=0))

    assert retry_pack(pack=pack)
    render(pack)

    assert pack.state == Pack.State.DELIVERED
    assert kept < set(pack.headshots.values_list("blob_id", flat=True))
    assert not retry_pack(pack=pack)


def test_a_pack_that_is_canceled_in_mid_preparation_stores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = make_premium()
    monkeypatch.setattr(leases, "RENEW_EVERY_SECONDS", 0.0)

    class CanceledMeanwhile(Counting):
        def prepare(self, photos: Sequence[SourcePhoto], size: Size, on_progress: Progress = ignore_progress):
            assert cancel_pack(pack=pack)
            on_progress(0.5)
            raise AssertionError("went on")

    use(monkeypatch, CanceledMeanwhile())

    render(pack)

    assert (pack.state, pack.reason) == (Pack.State.CANCELED, Pack.Reason.ON_REQUEST)
    assert not Blob.objects.filter(ring="result").exists()
    assert not Blob.objects.filter(kind="subject").exists()
    assert pack.pk not in prepared_subjects._prepared_subjects


def test_a_pack_of_which_something_was_shown_cannot_be_canceled_by_its_person() -> None:
    pack = make_premium()
    deliver(pack)
    Pack.objects.filter(pk=pack.pk).update(state=Pack.State.RENDERING)

    assert not cancel_pack(pack=pack)


# The mail -----------------------------------------------------------------------------------------------------------


def test_the_person_is_told_once_that_their_pack_is_ready(
    settings: LazySettings, mailoutbox: list[EmailMessage]
) -> None:
    settings.HEADSHOTS_SITE_URL = "https://headshots.example.org"
    pack = make_premium()
    deliver(pack)

    tasks.mail_delivered(str(pack.pk))
    tasks.mail_delivered(str(pack.pk))

    (mail,) = mailoutbox
    assert mail.to == [pack.shoot.owner.email]
    assert mail.subject == f"Your {COUNT} headshots are ready"
    assert f"https://headshots.example.org/shoots/{pack.shoot_id}/" in mail.body


def test_a_mail_server_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch, valkey, mailoutbox) -> None:
    pack = make_premium()
    deliver(pack)

    def away(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as patch:
        patch.setattr("headshots.shoots.delivery.mails.send_mail", away)
        with pytest.raises(ConnectionRefusedError):
            tasks.mail_delivered(str(pack.pk))
    Pack.objects.filter(pk=pack.pk).update(delivered_at=timezone.now() - timedelta(minutes=1))
    recovery.requeue_stalled()
    tasks.mail_delivered(str(pack.pk))

    assert any(b"shoots.mail_delivered" in message for message in valkey.lrange("default", 0, -1))
    assert len(mailoutbox) == 1


def test_nobody_is_mailed_about_a_preview_or_a_pack_that_has_gone(mailoutbox: list[EmailMessage]) -> None:
    pack = make_premium()
    deliver(pack)
    Pack.objects.filter(pk=pack.pk).update(state=Pack.State.DELETED)
    preview = Pack.objects.get(shoot=pack.shoot, kind=Pack.Kind.PREVIEW)
    Pack.objects.filter(pk=preview.pk).update(state=Pack.State.QUEUED)
    deliver(preview)

    tasks.mail_delivered(str(pack.pk))
    tasks.mail_delivered(str(preview.pk))

    assert mailoutbox == []
