"""Optimizations of the denoising loop: resolved once, before its first step."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.helpers.torch_needed import require_torch

require_torch()

import torch

from pipeline.bench.setup import Options, build_engine, make_conditions
from pipeline.diffusion.optimizations import CUTOFF, Optimization
from pipeline.engines.instantid.conditions import Conditions
from pipeline.engines.instantid.config import Sampling
from pipeline.engines.instantid.denoise import denoise, make_predictor, plan_steps
from pipeline.engines.instantid.networks.bundle import Networks
from pipeline.engines.instantid.networks.random_weights import TINY
from pipeline.types import Size

SIZE = Size(64, 64)
STEPS = 5
NONE: frozenset[Optimization] = frozenset()
IN_LOOP = frozenset(
    {
        *(Optimization.CHANNELS_LAST, Optimization.CACHED_CONDITION, Optimization.CACHED_KEYS, Optimization.SKIP_IDLE),
        *(Optimization.GUIDANCE_CUTOFF, Optimization.CONTROL_CUTOFF),
    }
)


@pytest.fixture(scope="module")
def networks() -> Networks:
    return build_engine(Options(architecture=TINY, device="cpu"), NONE)[0]


@pytest.fixture(scope="module")
def pictures(networks: Networks) -> list[Conditions]:
    return make_conditions(networks, 2, SIZE, NONE)


class Watched(frozenset[Optimization]):
    """A set that may be asked until it is closed."""

    is_closed = False

    def __contains__(self, member: object) -> bool:
        assert not self.is_closed, member
        return super().__contains__(member)


@pytest.mark.parametrize("optimizations", [NONE, IN_LOOP], ids=["plain", "optimized"])
def test_the_loop_asks_for_no_optimization(networks, pictures, optimizations):
    watched = Watched(optimizations)

    def close(share: float) -> None:
        watched.is_closed = True

    latents = denoise(networks, pictures, Sampling(STEPS), watched, close)

    assert torch.isfinite(latents).all()


def test_without_optimizations_every_step_runs_everything(networks, pictures):
    steps = plan_steps(
        networks, [replace(each, guidance_scale=1.0, control_scale=0.0) for each in pictures], STEPS, NONE
    )

    assert [step.done for step in steps] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(step.guided and step.control is not None for step in steps)
    assert all(len(step.rows.text) == 2 * len(pictures) for step in steps)


def test_guidance_and_control_end_at_their_cutoffs(networks, pictures):
    steps = plan_steps(networks, pictures, STEPS, IN_LOOP)

    early = [step.done <= CUTOFF for step in steps]
    assert early == [True, True, True, False, False]
    assert [step.guided for step in steps] == early
    assert [step.control is not None for step in steps] == early
    assert [len(step.rows.text) // len(pictures) for step in steps] == [2, 2, 2, 1, 1]


def test_a_picture_keeps_its_control_while_another_lets_go(networks, pictures):
    mixed = [replace(pictures[0], control_end=0.4), replace(pictures[1], control_end=1.0)]

    steps = plan_steps(networks, mixed, STEPS, IN_LOOP - {Optimization.CONTROL_CUTOFF})

    scales = [step.control.flatten().tolist() for step in steps if step.control is not None]
    assert [first > 0 for first, _ in scales] == [True, True, False, False, False]
    assert all(second > 0 for _, second in scales)


@pytest.mark.parametrize(
    ("optimization", "is_changed"),
    [
        (Optimization.CHANNELS_LAST, lambda predictor, plain: _strides(predictor.arrange) != _strides(plain.arrange)),
        (Optimization.CACHED_CONDITION, lambda predictor, plain: predictor.embed_condition != plain.embed_condition),
        (Optimization.CUDA_GRAPHS, lambda predictor, plain: predictor.begin_step != plain.begin_step),
    ],
)
def test_each_optimization_of_a_pass_changes_one_call(networks, optimization, is_changed):
    plain = make_predictor(networks, NONE)

    predictor = make_predictor(networks, frozenset({optimization}))

    assert plain.embed_condition is networks.condition_embedding
    assert is_changed(predictor, plain)


def _strides(arrange: Callable[[torch.Tensor], torch.Tensor]) -> tuple[int, ...]:
    return arrange(torch.zeros(2, 4, 8, 8)).stride()
