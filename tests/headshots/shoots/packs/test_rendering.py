"""How packs are made, with the fake engine: leases, the gate, crashes, and purges in mid-work."""

import contextlib
import math
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from headshots import engine
from headshots.dashboard.stats.daily_stats import Range, load_daily_stats
from headshots.engine import rendering as engine_rendering
from headshots.shoots import pauses, tasks
from headshots.shoots.lifecycle import advance, begin_purge, record_failure, return_to_queue
from headshots.shoots.models import Event, Headshot, Pack, Pause
from headshots.shoots.packs import leases, prepared_subjects, recovery, rendering
from headshots.shoots.packs.prepared_subjects import load_stored_photo
from headshots.vault.models import Blob
from headshots.vault.services import read_blob
from pipeline.engines.fake import FakeEngine
from pipeline.files.finish import HeadshotFiles
from pipeline.types import Face, Job, Picture, Pixels, Progress, Size
from tests.helpers import photos
from tests.helpers.factories import make_preview

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


class _Stranger(FakeEngine):
    """Returns somebody else every time."""

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        stranger = photos.biden()[: size.height, : size.width]
        for job in jobs:
            yield Picture(job, stranger)


class _Broken(FakeEngine):
    """Fails every time it is asked for pictures."""

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        raise RuntimeError("the card fell out")
        yield


def use(monkeypatch: pytest.MonkeyPatch, fake: FakeEngine) -> None:
    monkeypatch.setattr(engine_rendering, "create_engine", lambda *_: fake)
    engine_rendering._engine.cache_clear()


def test_a_pack_is_delivered_with_each_headshot_once() -> None:
    pack = make_preview()

    rendering.render_pack(pack=pack)

    pack.refresh_from_db()
    rows = list(pack.headshots.all())
    assert pack.state == Pack.State.DELIVERED
    assert [row.state for row in rows] == [Headshot.State.DONE] * 4
    assert len({row.blob_id for row in rows}) == 4
    assert all(read_blob(row.blob)[:2] == b"\xff\xd8" for row in rows if row.blob)
    assert all(row.likeness is not None and row.lease_token is None for row in rows)


def test_the_engine_goes_on_while_its_last_pictures_are_judged(monkeypatch) -> None:
    pack, asked_again = make_preview(), threading.Event()
    batches = []

    class Busy(FakeEngine):
        def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
            batches.append(len(jobs))
            if len(batches) > 1:
                asked_again.set()
            yield from super().render(jobs, size, on_progress)

    finder = engine_rendering.finder()

    class Patient:
        def find(self, pixels: Pixels) -> tuple[Face, ...]:
            assert asked_again.wait(30), "the next batch waited for this picture"
            return finder.find(pixels)

    use(monkeypatch, Busy())
    monkeypatch.setattr(engine_rendering, "finder", Patient)

    rendering.render_pack(pack=pack)

    pack.refresh_from_db()
    assert batches == [2, 2]
    assert pack.state == Pack.State.DELIVERED


def test_running_the_task_again_changes_nothing(settings) -> None:
    settings.HEADSHOTS_PREVIEW_COUNT = 2
    pack = make_preview()
    rendering.render_pack(pack=pack)
    blobs = set(Blob.objects.values_list("pk", flat=True))

    rendering.render_pack(pack=pack)

    assert set(Blob.objects.values_list("pk", flat=True)) == blobs


def test_a_lease_that_ran_out_is_taken_over_and_the_late_picture_is_not_stored() -> None:
    pack = make_preview()
    pack.state = Pack.State.RENDERING
    pack.save()
    (late,) = rendering.claim(pack, 1)
    Headshot.objects.filter(pk=late.pk).update(lease_until=timezone.now() - timedelta(seconds=1))

    rendering.render_pack(pack=pack)
    blobs = Blob.objects.filter(kind="headshot").count()
    finished = engine.RenderResult(late.index, True, 0.9, [], HeadshotFiles(b"late"))
    saved = rendering._save_picture(pack, late, finished, rendering.Tally())

    assert saved is rendering.SaveResult.LEASE_LOST
    assert Blob.objects.filter(kind="headshot").count() == blobs == 4
    assert pack.headshots.filter(state=Headshot.State.DONE).count() == 4


def test_a_lost_lease_is_told_apart_from_a_picture_that_looks_like_another() -> None:
    pack = make_preview()
    Pack.objects.filter(pk=pack.pk).update(kind=Pack.Kind.PREMIUM, state=Pack.State.RENDERING)
    pack.refresh_from_db()
    first, second, third = rendering.claim(pack, 3)
    Headshot.objects.filter(pk=third.pk).update(lease_token=uuid4())
    tally = rendering.Tally()

    def save(row: Headshot, perceptual_hash: str) -> rendering.SaveResult:
        files = HeadshotFiles(b"a picture")
        finished = engine.RenderResult(row.index, True, 0.9, [], files, perceptual_hash=perceptual_hash)
        return rendering._save_picture(pack, row, finished, tally)

    outcomes = [save(first, "00" * 60), save(second, "00" * 60), save(third, "ff" * 60)]

    assert outcomes == [rendering.SaveResult.SAVED, rendering.SaveResult.TOO_ALIKE, rendering.SaveResult.LEASE_LOST]
    assert Blob.objects.filter(kind="headshot").count() == 1
    assert tally.counts["pictures"] == 1


def test_a_row_that_is_taken_over_while_its_picture_is_made_stays_with_the_other_worker(monkeypatch) -> None:
    pack, other = make_preview(), uuid4()
    in_an_hour = timezone.now() + timedelta(hours=1)

    class Slow(FakeEngine):
        def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
            Headshot.objects.filter(pack=pack, index=0).update(lease_token=other, lease_until=in_an_hour)
            yield from super().render(jobs, size, on_progress)

    use(monkeypatch, Slow())

    rendering.render_pack(pack=pack)

    taken_over = pack.headshots.get(index=0)
    assert (taken_over.state, taken_over.lease_token) == (Headshot.State.RENDERING, other)
    assert list(pack.headshots.exclude(index=0).values_list("state", flat=True)) == [Headshot.State.DONE] * 3
    assert Blob.objects.filter(kind="headshot").count() == 3


def test_rows_that_become_free_while_the_engine_works_are_claimed_under_the_same_lease() -> None:
    pack, size = make_preview(), engine.Size(896, 1120)
    advance(pack, Pack.State.RENDERING)
    rows = rendering.claim(pack, 1)

    batches = list(rendering._claim_batches(pack, size, rows))

    assert [shot.index for batch in batches for shot in batch] == [0, 1, 2, 3]
    assert set(pack.headshots.values_list("lease_token", flat=True)) == {rows[0].lease_token}


def test_a_worker_that_was_killed_goes_on_where_it_died(valkey, monkeypatch) -> None:
    pack = make_preview()
    pack.state = Pack.State.RENDERING
    pack.save()
    monkeypatch.setattr(leases, "node_name", "render@another")
    rendering.claim(pack, 1)
    monkeypatch.setattr(leases, "node_name", "render@here")
    rendering.claim(pack, 2)

    rendering.resume_after_crash()

    assert pack.headshots.filter(state=Headshot.State.PENDING).count() == 3
    assert pack.headshots.get(state=Headshot.State.RENDERING).lease_holder == "render@another"
    assert valkey.llen("render") == 1


def test_a_living_lease_keeps_others_away() -> None:
    pack = make_preview()
    pack.state = Pack.State.RENDERING
    pack.save()
    held = rendering.claim(pack, 1)

    rendering.render_pack(pack=pack)

    pack.refresh_from_db()
    assert pack.state == Pack.State.RENDERING
    assert pack.headshots.get(pk=held[0].pk).state == Headshot.State.RENDERING
    assert pack.headshots.filter(state=Headshot.State.DONE).count() == 3


def test_a_stranger_is_never_delivered_and_the_pack_says_why(monkeypatch, settings) -> None:
    settings.HEADSHOTS_PREVIEW_COUNT = 2
    pack = make_preview()
    use(monkeypatch, _Stranger())

    rendering.render_pack(pack=pack)

    pack.refresh_from_db()
    assert pack.state == Pack.State.FAILED
    assert pack.reason == "not_alike"
    assert pack.reshoots == 4  # enough for 99 % of such packs, if three of five pictures are accepted
    assert not pack.headshots.filter(state=Headshot.State.DONE).exists()
    assert not Blob.objects.filter(kind="headshot").exists()


def test_an_open_gate_lets_everything_through(monkeypatch, settings) -> None:
    settings.HEADSHOTS_LIKENESS_MAX_DISTANCE, settings.HEADSHOTS_PREVIEW_COUNT = math.inf, 2
    pack = make_preview()
    use(monkeypatch, _Stranger())

    rendering.render_pack(pack=pack)

    pack.refresh_from_db()
    assert pack.state == Pack.State.DELIVERED


def test_an_engine_that_fails_three_times_fails_the_pack_which_rests_in_between(monkeypatch, time_machine) -> None:
    pack, start, states = make_preview(), timezone.now(), {}
    use(monkeypatch, _Broken())

    for seconds in (0, 1, 59, 60, 61, 659, 660, 661):
        time_machine.move_to(start + timedelta(seconds=seconds), tick=False)
        with contextlib.suppress(RuntimeError):
            rendering.render_pack(pack=pack)
        pack.refresh_from_db()
        states[seconds] = (pack.state, pack.awaiting_retry, pack.consecutive_failures)

    assert [seconds for seconds, found in states.items() if found == ("queued", True, 1)] == [0, 1, 59]
    assert [seconds for seconds, found in states.items() if found == ("queued", True, 2)] == [60, 61, 659]
    assert states[660] == states[661] == ("failed", False, 3)
    assert pack.reason == Pack.Reason.ENGINE_FAILED
    failed_runs = (
        Event.objects.filter(name="pack.run_failed")
        .order_by("pk")
        .values_list("codes__reason", "numbers__consecutive_failures")
    )
    assert list(failed_runs) == [
        (Pack.Reason.ENGINE_FAILED, 1),
        (Pack.Reason.ENGINE_FAILED, 2),
        (Pack.Reason.ENGINE_FAILED, 3),
    ]


def test_two_workers_that_meet_one_fault_set_the_pack_back_once() -> None:
    pack = make_preview()
    advance(pack, Pack.State.RENDERING)

    record_failure(pack, Pack.Reason.STORAGE_FAILED)
    record_failure(pack, Pack.Reason.STORAGE_FAILED)

    pack.refresh_from_db()
    assert pack.consecutive_failures == 1
    assert Event.objects.filter(name="pack.run_failed").count() == 1


def test_a_resting_pack_that_somebody_took_over_may_be_joined_and_rests_no_more_with_its_first_picture() -> None:
    pack = make_preview()
    advance(pack, Pack.State.RENDERING)
    record_failure(pack, Pack.Reason.ENGINE_FAILED)
    (held,) = rendering.claim(pack, 1)

    rendering.render_pack(pack=pack)

    pack.refresh_from_db()
    assert pack.headshots.filter(state=Headshot.State.DONE).count() == 3
    assert (pack.state, pack.consecutive_failures, pack.retry_at) == (Pack.State.RENDERING, 0, None)
    assert held.pk not in pack.headshots.filter(state=Headshot.State.DONE).values_list("pk", flat=True)


def test_a_purge_in_mid_work_stores_nothing_more(monkeypatch) -> None:
    pack = make_preview()

    class PurgedMeanwhile(FakeEngine):
        def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
            for picture in super().render(jobs, size, on_progress):
                begin_purge(pack.shoot)
                yield picture

    use(monkeypatch, PurgedMeanwhile())

    rendering.render_pack(pack=pack)

    assert not Blob.objects.filter(kind="headshot").exists()
    assert not pack.headshots.filter(state=Headshot.State.DONE).exists()
    assert pack.pk not in prepared_subjects._prepared_subjects


def test_nothing_of_a_person_shows_when_their_values_are_printed() -> None:
    pack = make_preview()
    photo = load_stored_photo(pack.shoot.photos.get())

    prepared_subject = engine.prepare([photo], engine.PREVIEW)

    for value in (photo, prepared_subject, prepared_subject.subject):
        assert "array" not in repr(value)
        assert "\\x" not in repr(value)


def test_a_person_is_dropped_from_memory_when_their_pack_ends(settings) -> None:
    settings.HEADSHOTS_PREVIEW_COUNT = 1
    pack = make_preview()

    rendering.render_pack(pack=pack)

    assert pack.pk not in prepared_subjects._prepared_subjects


@pytest.mark.django_db(transaction=True)
def test_two_workers_share_a_pack_and_make_each_headshot_once() -> None:
    pack = make_preview()

    def work() -> None:
        try:
            rendering.render_pack(pack=Pack.objects.select_related("shoot").get(pk=pack.pk))
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    pack.refresh_from_db()
    assert pack.state == Pack.State.DELIVERED
    assert Counter(pack.headshots.values_list("state", flat=True)) == {"done": 4}
    assert Blob.objects.filter(kind="headshot").count() == 4


def test_beat_wakes_a_pack_that_nobody_works_on(valkey) -> None:
    pack = make_preview()
    Pack.objects.filter(pk=pack.pk).update(queued_at=timezone.now() - timedelta(minutes=1))

    recovery.requeue_stalled()
    recovery.requeue_stalled()

    assert valkey.llen("render") == 1  # once a lease, however often beat looks


@pytest.mark.parametrize("wake", [recovery.requeue_stalled, recovery.enqueue_waiting])
def test_beat_and_the_end_of_a_pause_leave_a_pack_alone_that_rests(valkey, time_machine, wake) -> None:
    pack = make_preview()
    time_machine.move_to(timezone.now() + timedelta(seconds=30), tick=False)
    record_failure(pack, Pack.Reason.STORAGE_FAILED)
    wake()
    resting = valkey.llen("render")
    time_machine.shift(timedelta(minutes=1))

    wake()

    assert (resting, valkey.llen("render")) == (0, 1)


def test_beat_leaves_a_pack_alone_that_a_worker_holds(valkey) -> None:
    pack = make_preview()
    pack.state = Pack.State.RENDERING
    pack.save()
    rendering.claim(pack, 1)

    recovery.requeue_stalled()

    assert valkey.llen("render") == 0


def test_a_pause_in_mid_work_gives_the_pack_back_to_its_old_place_in_the_queue(monkeypatch) -> None:
    class PausedMeanwhile(FakeEngine):
        def capacity(self, size: Size) -> int:
            return 1

        def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
            pauses.pause(Pause.Part.RENDERING)
            yield from super().render(jobs, size, on_progress)

    pack = make_preview()
    queued_at = pack.queued_at
    use(monkeypatch, PausedMeanwhile())

    rendering.render_pack(pack=pack)
    pack.refresh_from_db()
    paused = pack.state, pack.queued_at, pack.headshots.filter(state=Headshot.State.DONE).count()
    pauses.resume(Pause.Part.RENDERING)
    use(monkeypatch, FakeEngine())
    rendering.render_pack(pack=pack)

    assert paused[:2] == (Pack.State.QUEUED, queued_at)
    assert 0 < paused[2] < 4
    pack.refresh_from_db()
    assert pack.state == Pack.State.DELIVERED
    assert load_daily_stats(Range.until_today(1)).total["ordered|preview"] == 1


def test_a_pack_that_somebody_has_in_hand_is_not_given_back(monkeypatch) -> None:
    pack = make_preview()
    advance(pack, Pack.State.RENDERING)
    held = rendering.claim(pack, 1)
    going_on = return_to_queue(pack)
    pauses.pause(Pause.Part.RENDERING)

    rendering.render_pack(pack=pack)
    state_while_held = Pack.objects.get().state
    Headshot.objects.filter(pk=held[0].pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    rendering.render_pack(pack=pack)

    assert (going_on, state_while_held) == (False, Pack.State.RENDERING)
    assert Pack.objects.get().state == Pack.State.QUEUED


def test_a_lost_device_ends_the_worker_and_frees_what_it_held(monkeypatch) -> None:
    class Lost(FakeEngine):
        def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
            raise engine.DeviceLost("the card fell off the bus")
            yield

    pack = make_preview()
    use(monkeypatch, Lost())

    with pytest.raises(SystemExit):
        tasks.render_pack(str(pack.pk))

    pack.refresh_from_db()
    assert pack.state == Pack.State.QUEUED
    assert pack.headshots.filter(state=Headshot.State.PENDING, lease_token=None).count() == 4
