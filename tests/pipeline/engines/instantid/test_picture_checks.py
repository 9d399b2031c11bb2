"""A number that is no number is an error that names where it arose; a face beside its key points is mentioned."""

import logging
from collections.abc import Callable

import numpy as np
import pytest

from tests.helpers.torch_needed import require_torch

require_torch("insightface", "onnx", "onnxruntime")

import torch

from pipeline.engines.instantid.canvas import add_grain, mix_plain
from pipeline.engines.instantid.engine import InstantIDEngine
from pipeline.engines.instantid.networks.text_encoders import PromptEncoder
from pipeline.engines.instantid.picture_checks import feature_offset, require_finite
from pipeline.engines.instantid.poses import POSES, place_keypoints
from pipeline.errors import NumericalError
from pipeline.styles.shot_list import load_styles, plan_shots
from pipeline.types import Box, Job, Size
from tests.helpers import photos
from tests.pipeline.engines.instantid.tiny_instantid import SIZE, build_config, source_photo

LARGE = Size(4 * SIZE.width, 4 * SIZE.height)
ASTRONAUT = Box(170, 60, 280, 190)
pytestmark = pytest.mark.filterwarnings("ignore:`estimate` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> InstantIDEngine:
    return InstantIDEngine(build_config(tmp_path_factory.mktemp("weights")))


@pytest.fixture(scope="module")
def jobs(engine) -> list[Job]:
    subject = engine.prepare([source_photo(photos.astronaut(), ASTRONAUT)], SIZE)
    return [Job(subject, shot) for shot in plan_shots(load_styles(), 2, seed=1)]


@pytest.fixture
def spoil():
    """Let a module answer NaN until the test ends."""
    hooks = []

    def _spoil(module: torch.nn.Module, answer: Callable[[torch.Tensor], object] = lambda nan: nan) -> None:
        def nan_of(output: object) -> object:
            while isinstance(output, tuple):
                output = output[0]
            return answer(torch.full_like(output, float("nan")))

        hooks.append(module.register_forward_hook(lambda _module, _inputs, output: nan_of(output)))

    yield _spoil
    for hook in hooks:
        hook.remove()


def test_nan_in_the_latents_is_named(engine, jobs, spoil):
    spoil(engine.networks.unet, lambda nan: (nan,))

    with pytest.raises(NumericalError, match=r"^The latents of shot 0: some values are NaN or infinite\. Fix: "):
        list(engine.render(jobs, SIZE, lambda share: None))


def test_nan_from_the_decoder_is_named(engine, jobs, spoil):
    spoil(engine.networks.vae.decoder)

    with pytest.raises(NumericalError, match=r"^The decoded picture of shot 0: "):
        list(engine.render(jobs, SIZE, lambda share: None))


def test_nan_from_the_upscaler_is_named(engine, jobs, spoil):
    spoil(engine._upscaler.network)

    with pytest.raises(NumericalError, match=r"^The enlarged picture of shot 0: "):
        list(engine.render(jobs, LARGE, lambda share: None))


def test_nan_in_the_face_tokens_is_named(engine, spoil):
    spoil(engine.networks.resampler)

    with pytest.raises(NumericalError, match=r"^The face tokens: "):
        engine.prepare([source_photo(photos.astronaut(), ASTRONAUT)], SIZE)


def test_nan_from_a_text_encoder_is_named(engine, spoil):
    spoil(engine.networks.text_encoders[0].get_input_embeddings())

    with pytest.raises(NumericalError, match=r"^The embedding of a prompt: "):
        PromptEncoder(engine.networks).encode(["a person"])


def test_infinity_is_no_finite_value_either():
    require_finite(torch.zeros(3), "Zeros")
    with pytest.raises(NumericalError, match="Infinity"):
        require_finite(torch.tensor([0.0, float("inf")]), "Infinity")


def test_the_offset_is_that_of_the_worst_of_eyes_and_mouth_in_eye_distances():
    wanted = place_keypoints(POSES[0], SIZE)
    eye_distance = np.linalg.norm(wanted[1] - wanted[0])
    nose_moved, mouth_moved = wanted.copy(), wanted.copy()
    nose_moved[2] += eye_distance
    mouth_moved[4, 1] += eye_distance / 2

    assert feature_offset(wanted, wanted) == 0
    assert feature_offset(wanted, nose_moved) == 0
    assert feature_offset(wanted, mouth_moved) == pytest.approx(0.5)


@pytest.mark.parametrize(("moved", "is_mentioned"), [(0.0, False), (0.5, True)])
def test_a_face_that_is_not_at_its_key_points_is_mentioned(engine, jobs, monkeypatch, caplog, moved, is_mentioned):
    wanted = engine._keypoints(jobs[0], SIZE)
    monkeypatch.setattr(engine._faces, "find_keypoints", lambda pixels: wanted + moved * (wanted[1] - wanted[0]))

    with caplog.at_level(logging.WARNING, "pipeline"):
        list(engine.render(jobs[:1], SIZE, lambda share: None))

    assert ("shot 0: eyes or mouth are 0.50 eye distances from their key points" in caplog.text) == is_mentioned


def test_a_picture_without_a_face_is_left_to_the_gate(engine, jobs, monkeypatch, caplog):
    monkeypatch.setattr(engine._faces, "find_keypoints", lambda pixels: None)

    assert len(list(engine.render(jobs[:1], SIZE, lambda share: None))) == 1
    assert "key points" not in caplog.text


def test_the_detectors_own_session_is_used_for_every_size(engine):
    assert engine._faces.find_keypoints(photos.astronaut()).shape == (5, 2)

    detector = engine._faces._detector
    assert list(detector.resolution_sessions.values()) == [detector.session]


# Plain enlargement and grain


@pytest.mark.parametrize(("growth", "share"), [(1.5, 0.5), (3, 0.325), (4, 0.15), (5, 0.15)])
def test_the_share_of_plain_enlargement_falls_with_the_growth(growth, share):
    black, white = torch.zeros(3, 32, 32), torch.ones(3, 8, 8)

    mixed = mix_plain(black, white, growth)

    torch.testing.assert_close(mixed, torch.full((3, 32, 32), share))


def test_an_enlarged_and_a_monochrome_picture_get_more_grain_and_the_same_one_in_all_channels():
    gray = torch.full((3, 200, 160), 0.5)

    plain, large = (add_grain(gray, growth, 7, monochrome=False) for growth in (1.0, 3.5))
    monochrome = add_grain(gray, 1.0, 7, monochrome=True)

    assert float(plain.std()) == pytest.approx(0.0045, rel=0.02)
    assert float(large.std()) == pytest.approx(0.0045 * 1.7, rel=0.02)
    assert float(monochrome.std()) == pytest.approx(0.009, rel=0.02)
    assert torch.equal(plain[0], plain[1])
    assert torch.equal(plain, add_grain(gray, 1.0, 7, monochrome=False))
    assert not torch.equal(plain, add_grain(gray, 1.0, 8, monochrome=False))


def test_grain_of_a_large_picture_is_coarser():
    gray = torch.full((3, 3360, 64), 0.5)

    grain = add_grain(gray, 3.5, 7, monochrome=False)[0] - 0.5

    neighbors = float((grain[1:] * grain[:-1]).mean() / (grain**2).mean())
    assert neighbors > 0.8
