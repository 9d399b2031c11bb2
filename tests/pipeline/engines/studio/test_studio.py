"""What the studio engine promises about pixels: the person's skin, the cut-out, the frame, the looks."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from pipeline.engines.studio import StudioEngine
from pipeline.engines.studio.sets import SETS, paint_set
from pipeline.faces import landmarks
from pipeline.imaging.filters import Floats, blur, fill_convex_hull, from_lab, resize, to_lab, to_linear
from pipeline.imaging.skin import (
    MAX_DARKEN,
    MAX_HUE_DEGREES,
    MAX_LIGHTEN,
    Skin,
    correct_cast,
    measure_skin,
    shift_lightness,
    skin_area,
)
from pipeline.portrait.crop import Outline
from pipeline.portrait.framing import frame_head
from pipeline.portrait.matte import extract_matte, own_colors, work_shape
from pipeline.styles.shot_list import load_styles, plan_shots
from pipeline.types import PREVIEW, Face, Job, Pixels, Shot, Size, SourcePhoto
from tests.helpers import photos

SMALL = Size(336, 420)
STYLES = {style.name: style for style in load_styles()}


@pytest.fixture(scope="module")
def engine(weights):
    return StudioEngine(weights, threads=1)


@pytest.fixture(scope="module")
def astronaut(finder):
    pixels = photos.astronaut()
    return SourcePhoto(pixels, finder.find(pixels)[0])


@pytest.fixture(scope="module")
def subject(engine, astronaut):
    return engine.prepare([astronaut], SMALL)


@pytest.fixture(scope="module")
def headshots(engine, subject) -> dict[str, Pixels]:
    """Every look of the astronaut, by name."""
    jobs = [Job(subject, Shot(index, style, 1)) for index, style in enumerate(STYLES.values())]
    return {picture.job.shot.style.name: picture.pixels for picture in engine.render(jobs, SMALL, lambda share: None)}


def lab_of(pixels: Pixels) -> Floats:
    return to_lab(pixels.astype(np.float32) / 255)


def skin_of(pixels: Pixels, face: Face) -> Skin:
    return measure_skin(lab_of(pixels), skin_area(face.mesh, pixels.shape[:2]))


def darkened(pixels: Pixels, face: Face, lightness: float) -> Pixels:
    """The photo as if the person had dark skin under the same light: only the skin's tone changes."""
    lab = lab_of(pixels)
    unit = landmarks.face_height(face.mesh)
    skin = measure_skin(lab, skin_area(face.mesh, pixels.shape[:2]))
    near = fill_convex_hull(face.mesh[:, :2], pixels.shape[:2])
    for eye in (landmarks.LEFT_EYE, landmarks.RIGHT_EYE, landmarks.INNER_LIPS):
        near = near * (1 - fill_convex_hull(landmarks.select_points(face.mesh, eye), pixels.shape[:2]))
    share = blur(near, 0.01 * unit)
    dark = shift_lightness(lab, skin.lightness, lightness - skin.lightness)
    lab = lab + (dark - lab) * share[..., None]
    return np.asarray(from_lab(lab) * 255 + 0.5, np.uint8)


def test_skin_keeps_its_lightness_within_the_band_in_every_look(headshots, astronaut, finder):
    before = skin_of(astronaut.pixels, astronaut.face)

    for name, pixels in headshots.items():
        after = skin_of(pixels, finder.find(pixels)[0])
        # Two units for measuring on another mesh at another size.
        assert -MAX_DARKEN - 2 <= after.lightness - before.lightness <= MAX_LIGHTEN + 2, name


def test_skin_keeps_its_hue_within_the_band_in_every_look(headshots, astronaut, finder):
    before = skin_of(astronaut.pixels, astronaut.face)

    for name, pixels in headshots.items():
        if STYLES[name].monochrome:
            continue
        after = skin_of(pixels, finder.find(pixels)[0])
        assert abs(after.hue_degrees - before.hue_degrees) <= MAX_HUE_DEGREES + 3, name


@pytest.mark.parametrize("lightness", [28, 40, 52])
def test_dark_skin_in_good_light_is_not_lightened(engine, astronaut, lightness):
    pixels = darkened(astronaut.pixels, astronaut.face, lightness)
    photo = SourcePhoto(pixels, astronaut.face)
    before = skin_of(pixels, astronaut.face)

    size = Size(SMALL.width // 2, SMALL.height // 2)
    subject = engine.prepare([photo], size)

    (portrait,) = subject.portraits
    assert before.lightness == pytest.approx(lightness, abs=4)
    for style in STYLES.values():
        (picture,) = engine.render([Job(subject, Shot(0, style, 3))], size, lambda share: None)
        after = float(np.median(lab_of(picture.pixels)[..., 0][portrait.skin]))
        assert after - before.lightness <= MAX_LIGHTEN + 1, style.name


def test_an_underexposed_photo_is_lifted_but_never_past_the_band(engine, astronaut):
    dim = (astronaut.pixels * 0.45).astype(np.uint8)
    before = skin_of(dim, astronaut.face)

    (portrait,) = engine.prepare([SourcePhoto(dim, astronaut.face)], SMALL).portraits

    lab = to_lab(portrait.person)
    lift = float(np.median(lab[..., 0][portrait.skin])) - before.lightness
    assert 1 < lift <= MAX_LIGHTEN + 1


def test_a_blue_cast_is_taken_back_in_the_direction_of_skin_and_not_beyond_the_band():
    lab = np.zeros((8, 8, 3), np.float32)
    lab[:] = (60, 18, 6)
    skin = Skin(60, 18, 6, 70)

    corrected = to_lab(correct_cast(from_lab(lab), skin))[4, 4]

    moved = math.degrees(math.atan2(corrected[2], corrected[1])) - skin.hue_degrees
    assert 2 < moved <= MAX_HUE_DEGREES + 0.5
    assert abs(corrected[0] - 60) < 2


@pytest.mark.parametrize("hue_degrees", [44, 52, 60, 65])
def test_natural_skin_of_any_hue_stays_as_it_is(hue_degrees):
    a, b = 20 * math.cos(math.radians(hue_degrees)), 20 * math.sin(math.radians(hue_degrees))
    picture = from_lab(np.full((4, 4, 3), (45, a, b), np.float32))

    corrected = correct_cast(picture, Skin(45, a, b, 60))

    np.testing.assert_allclose(corrected, picture, atol=0.01)


def test_black_and_white_is_gray_throughout(headshots):
    pixels = headshots["bw"].astype(int)

    assert np.ptp(pixels, axis=2).max() <= 1


def test_looks_are_distinct_and_the_person_is_the_same_in_all(headshots):
    sides = {
        name: np.hstack([lab_of(each)[20:120, :60], lab_of(each)[20:120, -60:]]) for name, each in headshots.items()
    }
    corners = {
        name: np.r_[each[:, :60].mean(axis=(0, 1)), each[:, 60:].mean(axis=(0, 1))] for name, each in sides.items()
    }

    names = list(corners)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            assert np.linalg.norm(corners[one] - corners[other]) > 3, (one, other)


def test_seeds_vary_the_set_and_leave_the_person_alone(engine, subject):
    style = STYLES["outdoor"]

    one, other = (
        next(engine.render([Job(subject, Shot(0, style, seed))], SMALL, lambda share: None)).pixels.astype(float)
        for seed in (1, 2)
    )

    change = np.abs(one - other).mean(axis=2)
    inner = subject.portraits[0].skin
    assert change[subject.portraits[0].alpha == 0].mean() > 4 * change[inner].mean()
    assert change[inner].mean() < 4


def test_another_process_makes_the_same_pixels(engine, subject, astronaut, weights, tmp_path):
    shot = plan_shots(list(STYLES.values()), 10, seed=5)[-1]
    (picture,) = engine.render([Job(subject, shot)], SMALL, lambda share: None)
    script = """if True:
        import sys
        from pathlib import Path
        import numpy as np
        from pipeline.engines.studio import StudioEngine
        from pipeline.styles.shot_list import load_styles, plan_shots
        from pipeline.types import Box, Face, Job, Size, SourcePhoto
        from pipeline.weights import Weights
        given = np.load(sys.argv[1])
        photo = SourcePhoto(given["pixels"], Face(Box(*given["box"]), 1.0, given["mesh"]))
        engine = StudioEngine(Weights(Path(sys.argv[2])))
        size = Size(336, 420)
        shot = plan_shots(load_styles(), 10, seed=5)[-1]
        (picture,) = engine.render([Job(engine.prepare([photo], size), shot)], size, lambda share: None)
        np.save(sys.argv[3], picture.pixels)
    """
    box = astronaut.face.box
    np.savez(
        tmp_path / "given.npz",
        pixels=astronaut.pixels,
        mesh=astronaut.face.mesh,
        box=(box.left, box.top, box.right, box.bottom),
    )

    command = [sys.executable, "-c", script, tmp_path / "given.npz", weights.directory, tmp_path / "made.npy"]
    subprocess.run(command, check=True, timeout=120)

    np.testing.assert_array_equal(np.load(tmp_path / "made.npy"), picture.pixels)


def test_the_head_stands_upright_in_the_middle_with_the_eyes_above_it(headshots, finder):
    for name, pixels in headshots.items():
        face = finder.find(pixels)[0]
        right, left = landmarks.eye_centers(face.mesh)
        eyes = (right + left) / 2
        assert abs(eyes[0] / SMALL.width - 0.5) < 0.07, name
        assert 0.36 < eyes[1] / SMALL.height < 0.46, name
        assert abs(landmarks.roll_degrees(face.mesh)) < 4, name
        assert 0.34 < landmarks.face_height(face.mesh) / SMALL.height < 0.5, name


@pytest.mark.parametrize("size", [PREVIEW, Size(1024, 1024)])
@pytest.mark.parametrize("cut_rows", [0, 120, 200])
def test_no_gap_shows_below_a_person_however_tight_the_photo_ends(engine, astronaut, cut_rows, size):
    """The photo ends below the chin; the frame must end above that."""
    rows = astronaut.pixels.shape[0] - cut_rows
    below_chin = float(astronaut.face.mesh[landmarks.CHIN, 1]) + 20
    photo = SourcePhoto(astronaut.pixels[: max(rows, int(below_chin))], astronaut.face)

    (portrait,) = engine.prepare([photo], Size(size.width // 3, size.height // 3)).portraits

    middle = portrait.alpha.shape[1] // 2
    assert portrait.alpha[-4:, middle - 20 : middle + 20].min() > 0.9


def test_a_photo_of_hardly_more_than_the_face_fills_the_frame(engine, astronaut):
    box = landmarks.bounds(astronaut.face.mesh)
    left, top = int(box.left) - 4, int(box.top) - 4
    pixels = astronaut.pixels[top : int(box.bottom) + 5, left : int(box.right) + 5].copy()
    mesh = np.asarray(astronaut.face.mesh - (left, top, 0), np.float32)

    (portrait,) = engine.prepare([SourcePhoto(pixels, replace(astronaut.face, mesh=mesh))], SMALL).portraits

    middle = portrait.alpha[:, SMALL.width // 3 : -SMALL.width // 3]
    assert middle[[3, -4]].min() > 0.9


def test_a_tilted_head_is_leveled_and_its_frame_stays_inside_the_photo_where_the_border_cuts(astronaut):
    height, width = astronaut.pixels.shape[:2]
    cut = np.array([[x, height] for x in range(0, width, 20)], np.float64)
    nowhere = np.empty((0, 2))

    frame = frame_head(astronaut.face.mesh, PREVIEW, Outline(cut, None, nowhere))

    corners = np.linalg.inv(np.r_[frame.matrix, [[0, 0, 1]]])[:2] @ [[0, 896], [1120, 1120], [1, 1]]
    assert corners[1].max() <= height + 0.03 * landmarks.face_height(astronaut.face.mesh)
    assert abs(landmarks.roll_degrees(frame.place(astronaut.face.mesh))) < abs(
        landmarks.roll_degrees(astronaut.face.mesh)
    )


def test_the_matte_of_a_composite_of_known_alpha_is_found_again(astronaut):
    """A soft-edged disc of warm texture before a cool gradient; the belief is its blurred, coarse outline."""
    rng = np.random.default_rng(4)
    shape = (560, 448)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    angle = np.arctan2(y - 300, x - 224)
    radius = 130 + 5 * np.sin(23 * angle) + 3 * np.sin(61 * angle)
    truth = np.clip((radius - np.hypot(x - 224, y - 300)) / 4 + 0.5, 0, 1).astype(np.float32)
    texture = blur(rng.standard_normal((*shape, 1)).astype(np.float32), 1.5)[..., None]
    person = np.clip(np.array([0.55, 0.36, 0.25], np.float32) + 0.1 * texture, 0, 1)
    behind = np.array([0.35, 0.5, 0.7], np.float32) * (0.8 + 0.4 * (y / shape[0]))[..., None]
    picture = np.asarray(person * truth[..., None] + behind * (1 - truth[..., None]), np.float32)
    probability = resize(blur(truth, 6), work_shape(shape))
    # A face in the middle of the disc, its chin at the disc's lower edge.
    mesh = np.asarray((astronaut.face.mesh - astronaut.face.mesh.mean(axis=0)) * 0.8 + (224, 300, 0), np.float32)

    alpha = extract_matte(picture, np.clip(probability, 0, 1), np.ones(shape, np.float32), mesh)
    color = own_colors(picture, alpha)

    assert np.abs(alpha - truth).mean() < 0.012
    edge = (truth > 0.1) & (truth < 0.9)
    assert np.abs(alpha - truth)[edge].mean() < 0.2
    assert np.abs(color - person)[edge].mean() < 0.6 * np.abs(picture - person)[edge].mean()


@pytest.mark.parametrize("name", list(SETS))
def test_a_set_is_the_same_picture_at_any_size_and_has_no_steps(name):
    small = paint_set(name, (280, 224), np.random.default_rng(2))
    large = paint_set(name, (1120, 896), np.random.default_rng(2))

    assert np.abs(resize(large, (280, 224)) - small).mean() < 0.01
    assert np.abs(np.diff(large, axis=0)).max() < 0.1


def test_smooth_sets_are_dithered_so_that_no_bands_show(headshots):
    patch = headshots["corporate"][10:60, 10:60].astype(int)

    assert np.abs(np.diff(patch[..., 1], axis=1)).mean() > 0.3


def test_a_plain_color_is_exact_beside_the_person(headshots):
    for name, rgb in (("brand", (0x1B, 0x3A, 0x5C)), ("white", (255, 255, 255))):
        for corner in (headshots[name][5:40, 5:40], headshots[name][5:40, -40:-5]):
            assert np.abs(corner.mean(axis=(0, 1)) - rgb).max() <= 3, name


def test_shots_take_turns_through_several_photos(engine, astronaut):
    mirrored = replace(astronaut, pixels=(astronaut.pixels * 0.8).astype(np.uint8))
    subject = engine.prepare([astronaut, mirrored], SMALL)
    shots = [Shot(index, STYLES["corporate"], 1) for index in range(4)]

    pictures = [p.pixels for p in engine.render([Job(subject, shot) for shot in shots], SMALL, lambda share: None)]

    np.testing.assert_array_equal(pictures[0], pictures[2])
    np.testing.assert_array_equal(pictures[1], pictures[3])
    assert not np.array_equal(pictures[0], pictures[1])


def test_a_neighbor_is_not_carried_into_the_picture(engine, finder):
    pixels = photos.two_people()
    left, right = sorted(finder.find(pixels), key=lambda face: face.box.left)

    (portrait,) = engine.prepare([SourcePhoto(pixels, left, bystanders=(right,))], SMALL).portraits

    chin = int(portrait.mesh[landmarks.CHIN, 1])
    assert portrait.alpha[: chin - 20, -12:].max() < 0.1


def test_importing_the_engine_loads_no_heavy_library():
    script = """if True:
        import sys
        import pipeline.engines.studio
        heavy = {"cv2", "scipy", "dlib", "ai_edge_litert", "torch"} & set(sys.modules)
        sys.exit(str(heavy) if heavy else 0)
    """

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr


def test_light_is_linear_where_it_is_added():
    assert to_linear(np.full((1, 1, 3), 0.5, np.float32))[0, 0, 0] == pytest.approx(0.5**2.2, abs=1e-3)
