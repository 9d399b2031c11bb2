"""Which sampler and how many steps an operator gets: their own choice, otherwise the advice of the model card."""

from dataclasses import replace

import pytest

from pipeline.engines.instantid.config import Sampler, Sampling
from pipeline.engines.instantid.options import CHECKPOINTS_GROUP, InstantIDOptions, choose_sampling
from pipeline.errors import EngineUnavailable
from pipeline.weights import CATALOG, Weights
from pipeline.weights.catalog import Catalog


@pytest.fixture
def weights(tmp_path) -> Weights:
    return Weights(tmp_path)


def with_samplers(weights: Weights, **samplers: int) -> Weights:
    """The same weights, whose default checkpoint comes with this advice."""
    checkpoint = replace(CATALOG.weights["realvisxl"], samplers=samplers)
    return Weights(weights.directory, CATALOG.with_changes(Catalog({"realvisxl": checkpoint}, {})))


def test_every_built_in_checkpoint_comes_with_advice_that_the_engine_knows(weights):
    for checkpoint in CATALOG.groups[CHECKPOINTS_GROUP]:
        assert CATALOG.weights[checkpoint].samplers
        for sampler, steps in CATALOG.weights[checkpoint].samplers.items():
            options = InstantIDOptions(checkpoint=checkpoint, sampler=sampler)
            assert choose_sampling(weights, options) == Sampling(steps, Sampler(sampler))


def test_the_first_advice_is_the_default(weights):
    assert choose_sampling(weights, InstantIDOptions()) == Sampling(50, Sampler.DPMPP_2M_KARRAS)
    assert choose_sampling(weights, InstantIDOptions(checkpoint="sdxl_base")) == Sampling(30, Sampler.EULER)


def test_the_operators_choice_comes_first(weights):
    assert choose_sampling(weights, InstantIDOptions(steps=24)) == Sampling(24, Sampler.DPMPP_2M_KARRAS)
    assert choose_sampling(weights, InstantIDOptions(sampler="euler")) == Sampling(30, Sampler.EULER)
    assert choose_sampling(weights, InstantIDOptions(sampler="euler", steps=20)) == Sampling(20, Sampler.EULER)


def test_without_advice_the_published_implementations_values_are_used(weights):
    assert choose_sampling(with_samplers(weights), InstantIDOptions()) == Sampling(30, Sampler.EULER)


def test_advice_that_the_engine_does_not_know_is_refused(weights):
    with pytest.raises(EngineUnavailable, match="'ddim' for realvisxl; known: euler"):
        choose_sampling(with_samplers(weights, ddim=20), InstantIDOptions())


def test_an_unknown_sampler_of_the_operator_is_a_fault():
    assert "must be one of: euler, dpmpp_2m_karras" in (InstantIDOptions(sampler="ddim").fault or "")
    assert InstantIDOptions(sampler="dpmpp_sde_karras").fault is None
