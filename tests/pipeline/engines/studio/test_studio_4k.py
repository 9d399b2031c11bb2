"""Large studio headshots: the person enlarged once, everything smooth worked out small, no shot like another.

Real-ESRGAN itself takes minutes; here a plain enlargement stands in for it at the seam, except in one long test."""

import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from pipeline.engines.studio import StudioEngine, choose_photo
from pipeline.engines.studio.compose import compose
from pipeline.errors import Canceled, WeightsError
from pipeline.imaging.filters import enlarge_rows, resize
from pipeline.portrait.prepare import choose_photos
from pipeline.portrait.upscaled import reduce_cloth_texture, small_factor
from pipeline.quality.duplicates import MIN_DISTANCE, Thumbnail, distance_between, make_thumbnail, nearest
from pipeline.styles.shot_list import load_styles, plan_shots
from pipeline.types import (
    PREMIUM,
    PREMIUM_SQUARE,
    PREVIEW,
    PREVIEW_SQUARE,
    Box,
    DigitalSource,
    Framing,
    Job,
    Light,
    Shot,
    Size,
    SourcePhoto,
)
from pipeline.upscaling.upscale import enlarge_plainly
from pipeline.weights import Weights
from tests.helpers import photos

# Hardly larger than the largest size that is made directly, half of it, and a quarter.
LARGE, SMALL, TINY = Size(1296, 1620), Size(648, 810), Size(324, 405)
STYLES = {style.name: style for style in load_styles()}


class PlainNetwork:
    """Enlarges without a network; `pixels` counts what it was asked for."""

    def __init__(self) -> None:
        self.pixels = 0

    def upscale(self, pixels, on_progress=lambda share: None):
        self.pixels += pixels.shape[0] * pixels.shape[1]
        on_progress(1.0)
        return enlarge_plainly(pixels)


def silent(share: float) -> None:
    assert 0 <= share <= 1


@pytest.fixture(scope="module")
def astronaut(finder):
    pixels = photos.astronaut()
    return SourcePhoto(pixels, finder.find(pixels)[0])


@pytest.fixture(scope="module")
def network():
    return PlainNetwork()


@pytest.fixture(scope="module")
def engine(weights, network):
    engine = StudioEngine(weights, threads=1)
    engine._network = network
    return engine


@pytest.fixture(scope="module")
def prepared(engine, network, astronaut):
    """The astronaut for large pictures, and how many pixels the network was asked for."""
    before = network.pixels
    return engine.prepare([astronaut], LARGE, silent), network.pixels - before


@pytest.fixture(scope="module")
def subject(prepared):
    return prepared[0]


@pytest.fixture(scope="module")
def small_subject(engine, astronaut):
    return engine.prepare([astronaut], SMALL)


@pytest.fixture(scope="module")
def tiny_subject(engine, astronaut):
    return engine.prepare([astronaut], TINY)


def shot(name: str = "corporate", seed: int = 1, framing=Framing.CLASSIC, light=Light.KEY) -> Shot:
    return Shot(0, STYLES[name], seed, framing=framing, light=light)


@pytest.mark.parametrize(
    ("size", "factor"),
    [(PREVIEW, 1), (PREVIEW_SQUARE, 1), (PREMIUM, 4), (PREMIUM_SQUARE, 4), (LARGE, 2), (Size(2001, 2301), 1)],
)
def test_large_pictures_are_worked_out_on_a_small_one_that_divides_them(size, factor):
    assert small_factor(size) == factor


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_rows_enlarged_in_strips_are_the_rows_of_the_whole(factor):
    plane = np.random.default_rng(1).random((30, 20, 7), np.float32)

    strips = [enlarge_rows(plane, factor, top, min(top + 11, 30 * factor)) for top in range(0, 30 * factor, 11)]

    np.testing.assert_allclose(np.vstack(strips), enlarge_rows(plane, factor, 0, 30 * factor), atol=1e-6)


@pytest.mark.parametrize("framing", [Framing.CLASSIC, Framing.TIGHT])
def test_a_large_headshot_is_the_small_one_with_more_pixels(subject, small_subject, framing):
    small = compose(small_subject.portraits[0], shot(framing=framing)).astype(np.float32)

    large = compose(subject.portraits[0], shot(framing=framing))

    assert large.shape == (LARGE.height, LARGE.width, 3)
    reduced = resize(large.astype(np.float32), small.shape[:2])
    # Not the same: the large one begins with an enlarged photo.
    assert np.abs(reduced - small).mean() < 4


def test_the_same_shot_gives_the_same_pixels_on_any_number_of_threads(subject):
    one, two = (compose(subject.portraits[0], shot(), threads) for threads in (1, 2))

    assert np.array_equal(one, two)


def test_no_strip_shows_its_borders(subject):
    picture = compose(subject.portraits[0], shot()).astype(np.float32)

    steps = np.abs(np.diff(picture[:, :200].mean(axis=(1, 2))))
    borders = steps[127::128]
    assert borders.max() <= np.percentile(steps, 99) + 0.5


def test_the_picture_is_marked_as_what_was_done_to_it(engine, subject, small_subject):
    (large,) = engine.render([Job(subject, shot())], LARGE, silent)
    (small,) = engine.render([Job(small_subject, shot())], SMALL, silent)

    assert large.digital_source is DigitalSource.COMPOSITE_WITH_TRAINED
    assert small.digital_source is DigitalSource.COMPOSITE


def test_a_photo_that_is_large_enough_keeps_its_own_pixels(engine, network, finder):
    pixels = enlarge_plainly(photos.astronaut())
    before = network.pixels

    subject = engine.prepare([SourcePhoto(pixels, finder.find(pixels)[0])], LARGE)

    assert network.pixels == before
    assert not subject.portraits[0].enlarged


def test_the_network_sees_no_more_than_the_person_and_their_surroundings(prepared):
    subject, seen = prepared

    assert 0 < seen < 100_000
    assert subject.portraits[0].upscaled.person.shape == (1620, 1296, 3)


def test_a_photo_without_the_detail_is_enlarged_without_the_network(engine, network, astronaut):
    blurred = replace(astronaut, pixels=cv2.GaussianBlur(astronaut.pixels, (0, 0), 2))
    before = network.pixels

    (portrait,) = engine.prepare([blurred], LARGE).portraits

    assert network.pixels == before
    assert not portrait.enlarged
    assert portrait.upscaled.person.shape == (LARGE.height, LARGE.width, 3)
    reduced = resize(portrait.upscaled.person.astype(np.float32) / 255, portrait.person.shape[:2])
    assert np.abs(reduced - portrait.person).mean() < 0.01


def test_for_4k_the_network_sees_no_more_than_that(engine, network, astronaut):
    before = network.pixels

    subject = engine.prepare([astronaut], PREMIUM)

    assert 0 < network.pixels - before < 100_000
    assert subject.portraits[0].upscaled.person.shape == (3840, 3072, 3)


def test_clothes_keep_the_weave_of_the_photo_and_the_face_what_the_network_made(astronaut):
    pixels = astronaut.pixels
    plain = enlarge_plainly(pixels)
    drawn = np.where(plain > 127, 255, 0).astype(np.uint8)
    face = replace(astronaut.face, mesh=4 * astronaut.face.mesh)
    chin = int(face.mesh[:, 1].max())

    calmed = drawn.copy()
    reduce_cloth_texture(calmed, pixels, face)

    assert np.array_equal(calmed[:chin], drawn[:chin])
    cloth = slice(chin + int(0.4 * np.ptp(face.mesh[:, 1])), None)
    assert np.array_equal(calmed[cloth], plain[cloth])
    between = slice(chin + 1, cloth.start)
    assert np.abs(calmed[between].astype(float) - drawn[between]).mean() > 1


@pytest.mark.parametrize(
    ("costs", "chosen"),
    [
        ([900], [0]),
        ([500, 400, 300], [0, 1]),
        ([500, 600, 300, 200], [0, 2, 3]),
        ([2000, 100, 0], [0, 2]),
        ([0, 0, 0, 0, 0], [0, 1, 2, 3, 4]),
    ],
)
def test_as_many_photos_are_enlarged_as_the_time_allows_and_large_ones_always_come_along(costs, chosen):
    assert choose_photos(costs, 1000) == chosen


def test_several_photos_are_developed_best_first_while_the_networks_time_lasts(engine, astronaut, monkeypatch):
    monkeypatch.setattr("pipeline.engines.studio.MAX_PIXELS", 1)
    shares: list[float] = []

    subject = engine.prepare([astronaut, astronaut], LARGE, shares.append)

    assert len(subject.portraits) == 1
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_large_person_is_kept_to_the_last_bit_with_what_made_them_large(engine, subject):
    deserialized = engine.deserialize(engine.serialize(subject), LARGE)

    assert np.array_equal(compose(deserialized.portraits[0], shot()), compose(subject.portraits[0], shot()))
    assert deserialized.portraits[0].enlarged


@pytest.mark.parametrize("harm", [lambda data: b"", lambda data: data[:1000], lambda data: b"?" + data[1:]])
def test_bytes_that_are_no_prepared_person_are_refused(engine, subject, harm):
    with pytest.raises(ValueError, match=r"."):
        engine.deserialize(harm(engine.serialize(subject)), LARGE)


def test_a_person_kept_by_another_release_is_not_misread(engine, subject, monkeypatch):
    data = engine.serialize(subject)
    monkeypatch.setattr("pipeline.portrait.serialization.FORMAT", 3)

    with pytest.raises(ValueError, match="in form 2, not 3"):
        engine.deserialize(data, LARGE)


def test_preparing_can_be_stopped(engine, astronaut):
    def stop(share: float) -> None:
        raise Canceled

    with pytest.raises(Canceled):
        engine.prepare([astronaut], LARGE, stop)


def test_without_the_network_a_large_size_is_refused_and_a_small_one_is_not(weights, astronaut, tmp_path):
    for file in weights.directory.iterdir():
        if file.is_file() and "realesrgan" not in file.name:
            (tmp_path / file.name).symlink_to(file)
    engine = StudioEngine(Weights(tmp_path))

    with pytest.raises(WeightsError, match="realesrgan_x4plus is missing"):
        engine.prepare([astronaut], LARGE)
    assert engine.prepare([astronaut], TINY)


@pytest.fixture(scope="module")
def face_boxes(tiny_subject, finder) -> dict[Framing, Box]:
    """Where the only face of the picture is, by framing. A large picture is the same: see above."""
    boxes = {}
    for framing in Framing:
        (face,) = finder.find(compose(tiny_subject.portraits[0], shot(framing=framing)))
        boxes[framing] = face.box
    return boxes


@pytest.mark.parametrize("framing", list(Framing))
def test_every_framing_shows_the_whole_face_and_no_border_of_the_photo(face_boxes, framing):
    box = face_boxes[framing]
    assert box.left > 0.08 * TINY.width
    assert box.right < 0.92 * TINY.width
    assert box.top > 0.1 * TINY.height


def test_framings_stand_the_person_where_they_say(face_boxes):
    def middle(framing: Framing) -> tuple[float, float]:
        box = face_boxes[framing]
        return (box.left + box.right) / 2 / TINY.width, box.width

    classic, left, right, tight = (
        middle(framing) for framing in (Framing.CLASSIC, Framing.LEFT, Framing.RIGHT, Framing.TIGHT)
    )

    assert left[0] < classic[0] - 0.05
    assert right[0] > classic[0] + 0.05
    assert tight[1] > 1.2 * classic[1]


def nearest_pair(looks: list[Thumbnail]) -> float:
    return min(nearest(look, looks[:index]).whole for index, look in enumerate(looks) if index)


@pytest.mark.parametrize("count", [15, 50])
def test_all_shots_of_one_photo_are_different_pictures_and_two_equal_ones_are_found(tiny_subject, finder, count):
    # Pictures are compared at 32 px, so small ones show the same as large ones.
    (portrait,) = tiny_subject.portraits
    shots = plan_shots(tuple(STYLES.values())[:5], count, seed=3)
    looks = []
    for each in shots:
        pixels = compose(portrait, each)
        looks.append(make_thumbnail(pixels, finder.find(pixels)[0].box))

    assert nearest_pair(looks) >= MIN_DISTANCE
    assert len({(each.style.set, each.framing, each.light) for each in shots}) == count

    # The same shot at another place of the pack.
    again = compose(portrait, replace(shots[5], index=12))
    looks[12] = make_thumbnail(again, finder.find(again)[0].box)

    assert nearest_pair(looks) < MIN_DISTANCE


def test_two_equal_shots_are_one_picture_even_with_another_grain(subject):
    face = Box(500, 500, 900, 1000)
    once = compose(subject.portraits[0], shot())
    grained = np.clip(once.astype(int) + np.random.default_rng(0).integers(-4, 5, once.shape), 0, 255)

    distance = distance_between(make_thumbnail(once, face), make_thumbnail(grained.astype(np.uint8), face))

    assert distance.whole < MIN_DISTANCE
    assert distance.subject < MIN_DISTANCE


@pytest.mark.parametrize("photos_count", [1, 2, 3, 5])
def test_a_pack_is_spread_over_all_photos_and_so_is_each_look(photos_count):
    chosen = [choose_photo(index, photos_count) for index in range(50)]

    counts = np.bincount(chosen, minlength=photos_count)
    assert counts.max() - counts.min() <= 3
    for look in range(5):
        assert set(chosen[look::5]) == set(range(photos_count))


def test_one_real_headshot_at_4k_in_less_than_two_and_a_half_gigabytes(tmp_path):
    call = [sys.executable, "-m", "pipeline", "make", photos.astronaut_path(), "--size", "4k", "--count", "1"]
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    call += ["--out", tmp_path]

    done = subprocess.run([sys.executable, "-c", script, *map(str, call)], capture_output=True, text=True, check=True)

    assert int(done.stdout.split()[-1]) < 2_500_000
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")) == [
        "01-corporate.jpg",
        "profile/01-corporate.jpg",
        "web/01-corporate.jpg",
    ]
