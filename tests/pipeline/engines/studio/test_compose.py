"""What composing at full size relies on, so that it may skip work without changing a pixel."""

from dataclasses import fields

import numpy as np

from pipeline.engines.studio.compose import LINEAR_LEVELS, Lighting, _composite
from pipeline.imaging.filters import to_linear

SHAPE = (6, 9)


def lighting(rng: np.random.Generator) -> Lighting:
    colors = {name: rng.random((*SHAPE, 3), np.float32) for name in ("gain", "glow", "behind")}
    planes = {name: rng.random(SHAPE, np.float32) for name in ("rim", "wrap")}
    return Lighting(**colors, **planes, rim_light=rng.random(3, np.float32))


def test_the_table_of_linear_light_holds_what_the_function_gives():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)

    linear = to_linear(np.asarray(levels / np.float32(255), np.float32))

    assert np.array_equal(LINEAR_LEVELS.take(levels), linear)


def test_columns_beside_the_person_show_the_backdrop():
    rng = np.random.default_rng(0)
    lights, person = lighting(rng), rng.random((*SHAPE, 3), np.float32)
    alpha = rng.random(SHAPE, np.float32)
    alpha[:, :2] = alpha[:, 7:] = 0

    whole = _composite(person, alpha, lights)
    part = _composite(person[:, 2:7], alpha[:, 2:7], lights.columns(2, 7))

    assert np.array_equal(whole[:, 2:7], part)
    assert np.allclose(whole[:, :2], lights.behind[:, :2], atol=1e-7)


def test_columns_cut_every_plane_and_keep_the_color_of_the_rim():
    lights = lighting(np.random.default_rng(1))

    part = lights.columns(2, 7)

    for field in fields(Lighting):
        whole, cut = getattr(lights, field.name), getattr(part, field.name)
        assert np.array_equal(cut, whole if field.name == "rim_light" else whole[:, 2:7])
