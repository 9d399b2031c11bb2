"""Each sampler makes what diffusers' own pipeline makes, in any batch, and adds noise by the seed of each picture."""

from dataclasses import replace

import pytest

from tests.helpers.torch_needed import require_torch

require_torch()

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
)
from diffusers.models.attention_processor import AttnProcessor2_0

from pipeline.bench.setup import Options, build_engine, make_conditions
from pipeline.engines.instantid.conditions import Conditions, make_noise
from pipeline.engines.instantid.config import Sampler, Sampling
from pipeline.engines.instantid.denoise import denoise
from pipeline.engines.instantid.networks.bundle import Networks
from pipeline.engines.instantid.networks.load import Scheduler
from pipeline.engines.instantid.networks.random_weights import SCHEDULER_CONFIG, TINY, build_parts
from pipeline.types import Size

SIZE, STEPS, SEEDS = Size(64, 80), 7, [5, 6]
# What diffusers' documentation gives for the names that model cards use.
DIFFUSERS = {
    Sampler.EULER: lambda: EulerDiscreteScheduler(**SCHEDULER_CONFIG),
    Sampler.DPMPP_2M_KARRAS: lambda: DPMSolverMultistepScheduler(**_without_euler(), use_karras_sigmas=True),
    Sampler.DPMPP_SDE_KARRAS: lambda: DPMSolverSinglestepScheduler(
        **_without_euler("steps_offset", "timestep_spacing"), use_karras_sigmas=True, algorithm_type="sde-dpmsolver++"
    ),
}


def _without_euler(*more: str) -> dict[str, object]:
    return {name: value for name, value in SCHEDULER_CONFIG.items() if name not in {"interpolation_type", *more}}


@pytest.fixture(scope="module")
def networks() -> Networks:
    return build_engine(Options(architecture=TINY, device="cpu"), frozenset())[0]


@pytest.fixture(scope="module")
def pictures(networks: Networks) -> list[Conditions]:
    """Two pictures with the noise of their seeds, which no key points and no face change: what SDXL alone draws."""
    return [
        replace(each, noise=make_noise(networks, seed, SIZE), control_scale=0.0, adapter_scale=0.0)
        for each, seed in zip(make_conditions(networks, 2, SIZE, frozenset()), SEEDS, strict=True)
    ]


def latents_of(networks: Networks, pictures: list[Conditions], sampler: Sampler, seeds: list[int]) -> torch.Tensor:
    return denoise(networks, pictures, Sampling(STEPS, sampler), frozenset(), lambda share: None, seeds)


def draw_with_diffusers(scheduler: Scheduler, pictures: list[Conditions]) -> torch.Tensor:
    parts = build_parts(TINY, "cpu", torch.float32)
    parts.unet.set_attn_processor(AttnProcessor2_0())
    whole = StableDiffusionXLPipeline(
        vae=parts.vae,
        text_encoder=None,
        text_encoder_2=parts.text_encoders[1],
        tokenizer=None,
        tokenizer_2=None,
        unet=parts.unet,
        scheduler=scheduler,
        add_watermarker=False,
    )
    whole.set_progress_bar_config(disable=True)
    return whole(
        prompt_embeds=torch.stack([each.prompt.tokens for each in pictures]),
        pooled_prompt_embeds=torch.stack([each.prompt.pooled for each in pictures]),
        negative_prompt_embeds=torch.stack([each.negative.tokens for each in pictures]),
        negative_pooled_prompt_embeds=torch.stack([each.negative.pooled for each in pictures]),
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        num_inference_steps=STEPS,
        guidance_scale=pictures[0].guidance_scale,
        width=SIZE.width,
        height=SIZE.height,
        output_type="latent",
        return_dict=False,
    )[0]


@pytest.mark.parametrize("sampler", Sampler)
def test_each_sampler_draws_what_diffusers_draws(networks, pictures, sampler):
    ours = latents_of(networks, pictures, sampler, SEEDS)

    theirs = draw_with_diffusers(DIFFUSERS[sampler](), pictures)

    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.std()))


@pytest.mark.parametrize("sampler", Sampler)
def test_a_batch_draws_what_single_runs_draw(networks, pictures, sampler):
    together = latents_of(networks, pictures, sampler, SEEDS)

    alone = [latents_of(networks, [picture], sampler, [seed]) for picture, seed in zip(pictures, SEEDS, strict=True)]

    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4 * float(together.std()))


@pytest.mark.parametrize("sampler", Sampler)
def test_only_the_stochastic_sampler_draws_noise_by_the_seed(networks, pictures, sampler):
    latents = [latents_of(networks, pictures[:1], sampler, [seed]) for seed in (5, 5, 6)]

    assert torch.equal(latents[0], latents[1])
    assert torch.equal(latents[0], latents[2]) == (sampler is not Sampler.DPMPP_SDE_KARRAS)


def test_samplers_differ_from_each_other(networks, pictures):
    latents = [latents_of(networks, pictures[:1], sampler, [5]) for sampler in Sampler]

    assert all(not torch.allclose(latents[one], latents[other]) for one, other in ((0, 1), (0, 2), (1, 2)))
