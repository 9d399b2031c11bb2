"""The gate over a pack: bad engines are seen through, packs are full or fail openly, and the numbers add up."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import cv2
import numpy as np
import pytest
from django.conf import LazySettings
from django.test import Client

from headshots.engine import rendering as engine_rendering
from headshots.retention.purging import delete_pack
from headshots.shoots.models import Event, GateCount, Headshot, Pack
from headshots.shoots.packs import gating, rendering
from headshots.shoots.packs.recovery import retry_pack
from headshots.vault.models import Blob
from headshots.vault.services import read_blob
from pipeline.engines.fake import FakeEngine
from pipeline.photos.intake import load_pixels
from pipeline.types import Job, Picture, Pixels, Progress, Size
from tests.helpers import photos
from tests.helpers.factories import make_delivered, make_premium, make_preview

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

COUNT = 4
Spoil = Callable[[Pixels], Pixels]


@pytest.fixture(autouse=True)
def small_packs(settings: LazySettings) -> None:
    settings.HEADSHOTS_PREMIUM_COUNT, settings.HEADSHOTS_PREMIUM_LONG_EDGE = COUNT, 800


class Unreliable(FakeEngine):
    """Spoils every picture for which `when` says so; counts all it makes, from 1."""

    def __init__(self, spoil: Spoil, when: Callable[[int], bool]) -> None:
        self.made, self._spoil, self._when = 0, spoil, when

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        for picture in super().render(jobs, size, on_progress):
            self.made += 1
            pixels = self._spoil(picture.pixels) if self._when(self.made) else picture.pixels
            yield Picture(picture.job, pixels, picture.digital_source)


def stranger(pixels: Pixels) -> Pixels:
    return stranger_of_size(*pixels.shape[:2]).copy()


@cache
def stranger_of_size(height: int, width: int) -> Pixels:
    pixels = photos.biden()
    scale = width / pixels.shape[1]
    return cv2.resize(pixels, None, fx=scale, fy=scale)[:height].astype(np.uint8)


def noise(pixels: Pixels) -> Pixels:
    return np.random.default_rng(5).integers(0, 256, pixels.shape, np.uint8)


def two_faces(pixels: Pixels) -> Pixels:
    """The person, and somebody else beside them, both at half the size."""
    both = [cv2.resize(each, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for each in (pixels, stranger(pixels))]
    picture = np.zeros_like(pixels)
    picture[: len(both[0]), : both[0].shape[1]] = both[0]
    picture[: len(both[1]), -both[1].shape[1] :] = both[1]
    return picture


def blurred(pixels: Pixels) -> Pixels:
    return cv2.GaussianBlur(pixels, (0, 0), pixels.shape[1] / 120).astype(np.uint8)


def in_lab(pixels: Pixels, factors: tuple[float, float, float], lift: float) -> Pixels:
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2Lab) * np.float32(factors)
    lab[..., 0] += lift
    return (np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_Lab2RGB), 0, 1) * 255).astype(np.uint8)


def lightened(pixels: Pixels) -> Pixels:
    return in_lab(pixels, (1, 1, 1), 13)


def oversaturated(pixels: Pixels) -> Pixels:
    return in_lab(pixels, (1, 1.7, 1.7), 0)


def shoot(pack: Pack, monkeypatch: pytest.MonkeyPatch, fake: FakeEngine) -> Counter[str]:
    """Makes the pack with that engine; how its pictures ended."""
    monkeypatch.setattr(engine_rendering, "create_engine", lambda *_: fake)
    engine_rendering._engine.cache_clear()
    rendering.render_pack(pack=Pack.objects.select_related("shoot").get(pk=pack.pk))
    pack.refresh_from_db()
    return Counter(dict(pack.gate_counts.values_list("outcome", "count")))


def recorded_counts(pack: Pack) -> dict[str, float]:
    return dict(Event.objects.get(pack_id=pack.pk, name="pack.quality_checked").numbers)


def test_a_stranger_every_third_time_still_gives_a_full_and_correct_pack(monkeypatch) -> None:
    pack = make_premium()
    fake = Unreliable(stranger, lambda number: number % 3 == 0)

    ended = shoot(pack, monkeypatch, fake)

    rows = list(pack.headshots.all())
    assert pack.state == Pack.State.DELIVERED
    assert [row.state for row in rows] == [Headshot.State.DONE] * COUNT
    assert ended["accepted"] == COUNT
    assert ended["not_alike"] == fake.made - COUNT > 0
    assert sum(ended.values()) == fake.made == sum(pack.gate_counts.values_list("count", flat=True))
    assert pack.reshoots + pack.replacements == ended["not_alike"]
    assert recorded_counts(pack) == {
        "generated": fake.made,
        "accepted": COUNT,
        "rejected_not_alike": ended["not_alike"],
        "reshot": pack.reshoots,
        "replaced": pack.replacements,
    }
    for row in rows:
        assert row.likeness is not None
        assert row.likeness > 0.9
        assert load_pixels(read_blob(row.blob)).shape[:2] == (800, 640)


def test_an_engine_that_is_wrong_half_the_time_delivers_all_or_fails_openly(monkeypatch) -> None:
    pack = make_premium()
    fake = Unreliable(stranger, lambda number: number % 2 == 0)

    ended = shoot(pack, monkeypatch, fake)

    done = pack.headshots.filter(state=Headshot.State.DONE).count()
    assert (pack.state, pack.reason) in {(Pack.State.DELIVERED, ""), (Pack.State.FAILED, "not_alike")}
    assert (done == COUNT) == (pack.state == Pack.State.DELIVERED)
    assert ended["accepted"] == done == Blob.objects.filter(kind="headshot", key_id=pack.pk).count()
    assert sum(ended.values()) == fake.made


def test_an_engine_that_is_always_wrong_fails_within_its_budget_and_says_why(monkeypatch) -> None:
    pack = make_premium()
    fake = Unreliable(stranger, lambda number: True)

    ended = shoot(pack, monkeypatch, fake)

    assert (pack.state, pack.reason) == (Pack.State.FAILED, "not_alike")
    assert ended == {"not_alike": fake.made}
    assert pack.reshoots > pack.replacements > 0
    assert pack.reshoots + pack.replacements == gating.max_refusals(COUNT, 0.6) == 9
    assert fake.made == COUNT + 9
    assert not Blob.objects.filter(kind="headshot", key_id=pack.pk).exists()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (stranger, "not_alike"),
        (noise, "no_face"),
        (two_faces, "several_faces"),
        (blurred, "too_blurry"),
        (lightened, "skin_tone"),
        (oversaturated, "oversaturated"),
    ],
)
def test_each_planted_failure_is_caught_counted_and_made_good(
    monkeypatch, settings: LazySettings, spoil: Spoil, reason: str
) -> None:
    settings.HEADSHOTS_PREVIEW_COUNT = 2
    pack = make_preview()

    ended = shoot(pack, monkeypatch, Unreliable(spoil, lambda number: number == 2))

    assert pack.state == Pack.State.DELIVERED
    assert ended == {"accepted": 2, reason: 1}


def test_a_double_is_caught_and_made_good(monkeypatch) -> None:
    kept: list[Pixels] = []

    def double(pixels: Pixels) -> Pixels:
        kept.append(pixels)
        return kept[0]

    pack = make_premium()

    ended = shoot(pack, monkeypatch, Unreliable(double, lambda number: number in {1, 4}))

    assert pack.state == Pack.State.DELIVERED
    assert ended == {"accepted": COUNT, "too_alike": 1}


def test_what_keeps_failing_is_replaced_by_a_shot_that_the_pack_does_not_have(monkeypatch, client: Client) -> None:
    pack = make_premium()
    doomed = pack.headshots.get(index=3)

    class NeverThatShot(FakeEngine):
        def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
            for picture in super().render(jobs, size, on_progress):
                shot = picture.job.shot
                wrong = (shot.style.name, shot.framing, shot.light) == (doomed.style.name, doomed.framing, doomed.light)
                yield Picture(picture.job, stranger(picture.pixels) if wrong else picture.pixels)

    ended = shoot(pack, monkeypatch, NeverThatShot())

    assert pack.state == Pack.State.DELIVERED
    assert (pack.reshoots, pack.replacements, ended["not_alike"]) == (2, 1, 3)
    (row,) = pack.headshots.filter(replaced=True)
    assert row.index == 3
    rows = pack.headshots.select_related("style")
    shots = Counter((each.style.recipe["set"], each.framing, each.light) for each in rows)
    assert max(shots.values()) == 1
    client.force_login(pack.shoot.owner)
    page = client.get(f"/shoots/{pack.shoot_id}/").content.decode()
    assert f"1 of {COUNT} shots didn’t pass" in page
    assert "so we replaced it" in page


def test_a_pack_that_staff_tries_again_has_its_budgets_again_and_goes_on_counting(
    monkeypatch, settings: LazySettings
) -> None:
    settings.HEADSHOTS_PREMIUM_COUNT = 2
    pack = make_premium()
    first = Unreliable(stranger, lambda number: True)
    shoot(pack, monkeypatch, first)

    assert retry_pack(pack=pack)
    second = FakeEngine()
    ended = shoot(pack, monkeypatch, second)

    assert pack.state == Pack.State.DELIVERED
    assert ended == {"accepted": 2, "not_alike": first.made}


def test_the_database_holds_rounded_numbers_and_a_hash_in_which_nobody_can_be_recognized(monkeypatch) -> None:
    pack = make_premium()

    shoot(pack, monkeypatch, FakeEngine())

    for row in pack.headshots.all():
        assert row.likeness == round(row.likeness, 2)
        assert 0 < row.quality == round(row.quality, 2) <= 1
        assert len(bytes.fromhex(row.perceptual_hash)) == 4 * 5 * 3
        assert row.renders == 1
    assert len(set(pack.headshots.values_list("perceptual_hash", flat=True))) == COUNT


def test_the_best_headshots_come_first_once_all_are_there(client: Client) -> None:
    pack = make_delivered()
    rows = list(pack.headshots.all())
    for row, quality in zip(rows, (0.5, 0.9, 0.7, 0.9), strict=True):
        Headshot.objects.filter(pk=row.pk).update(likeness=0.9, quality=quality)
    client.force_login(pack.shoot.owner)

    page = client.get(f"/shoots/{pack.shoot_id}/").content.decode()
    places = [page.index(f'id="headshot-{row.pk}"') for row in rows]
    pack.state = Pack.State.RENDERING

    assert sorted(range(4), key=lambda index: places[index]) == [1, 3, 2, 0]
    assert gating.sort_for_display(pack, rows) == rows


@pytest.mark.parametrize(("maker", "shown"), [("studio", False), ("fake", False), ("instantid", True)])
def test_a_likeness_is_shown_only_where_the_engine_could_have_missed_the_person(
    client: Client, maker: str, shown: bool
) -> None:
    pack = make_delivered()
    Pack.objects.filter(pk=pack.pk).update(engine=maker)
    pack.headshots.update(likeness=0.97)
    client.force_login(pack.shoot.owner)

    page = client.get(f"/shoots/{pack.shoot_id}/").content.decode()

    assert ("97% likeness" in page) == shown
    assert page.count('class="likeness" href="/likeness/"') == (4 if shown else 0)


def test_counts_stay_when_the_headshots_are_deleted(monkeypatch, settings: LazySettings) -> None:
    settings.HEADSHOTS_PREVIEW_COUNT = 1
    pack = make_preview()
    shoot(pack, monkeypatch, FakeEngine())

    assert delete_pack(pack=pack)

    assert not pack.headshots.exists()
    assert GateCount.objects.get(pack=pack).count == 1
