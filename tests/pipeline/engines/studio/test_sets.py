"""Sets that are a plain color, and sets with depth: where their light comes from, and what is how blurred."""

import numpy as np
import pytest

from pipeline.engines.studio.backdrops.surface import PaintSurface
from pipeline.engines.studio.backdrops.view import FOCUS, start_view
from pipeline.engines.studio.sets import SETS, find_set, paint_set
from pipeline.imaging.filters import color, resize

SHAPE, BANNER = (140, 112), (90, 160)
LIT = [name for name, scenery in SETS.items() if scenery.lit_from_left]


@pytest.fixture(autouse=True)
def _paint_small(monkeypatch):
    """Paint with fewer pixels, because these tests look at large areas only."""
    monkeypatch.setattr("pipeline.engines.studio.sets.PAINT_HEIGHT", 140)


def paint(name: str, seed: int, key_side: float = -1.0, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return paint_set(name, shape, np.random.default_rng(seed), key_side)


def test_a_hex_color_is_a_set_that_no_light_changes():
    painted = paint("#1B3a5C", seed=1)

    assert find_set("#1b3a5c").steadiness == 1.0
    np.testing.assert_allclose(painted, np.broadcast_to(color(0x1B, 0x3A, 0x5C), painted.shape), rtol=1e-4)


@pytest.mark.parametrize("shape", [SHAPE, BANNER])
@pytest.mark.parametrize("name", LIT)
def test_the_light_of_a_place_comes_from_the_side_of_the_key_light(name, shape):
    for seed in range(2):
        left, right = (paint(name, seed, key_side, shape) for key_side in (-0.6, 0.6))

        np.testing.assert_allclose(left, right[:, ::-1], atol=1e-6)
        brightness = np.clip(left, 0, 1).mean(axis=(0, 2))
        third = shape[1] // 3
        assert brightness[:third].mean() > 1.03 * brightness[-third:].mean(), seed


def test_a_banner_shows_the_city_from_edge_to_edge():
    square, banner = (paint("city", 1, shape=(90, width)) for width in (90, 160))

    assert np.abs(resize(banner, (90, 90)) - square).mean() < 0.03


def test_blur_grows_with_the_distance():
    rows, columns = 200, 160
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    surface = PaintSurface((x + 0.5 - columns / 2) / rows, (y + 0.5) / rows, np.random.default_rng(0))
    steepest = []
    for distance in (1.5 * FOCUS, 3 * FOCUS, 100.0):
        view = start_view(surface, 0.5, color(0, 0, 0))
        view.distance[:] = distance
        view.paint(color(255, 255, 255), (surface.x > 0).astype(np.float32), distance)
        steepest.append(np.diff(view.photograph(0.04)[100, :, 0]).max())

    near, middle, far = steepest
    assert near > 1.3 * middle > 1.3 * far
