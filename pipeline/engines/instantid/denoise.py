"""The denoising loop. A batch can mix prompts, seeds, poses and people.

The pictures of a batch share only the timesteps. Up to rounding, a picture is the same in any batch and alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from pipeline.diffusion.optimizations import CUTOFF, Optimization
from pipeline.engines.instantid.conditions import Conditions, Rows, control_ends, make_rows
from pipeline.engines.instantid.config import Sampling
from pipeline.engines.instantid.networks.bundle import Networks
from pipeline.engines.instantid.networks.load import make_scheduler
from pipeline.types import Progress


def denoise(
    networks: Networks,
    pictures: Sequence[Conditions],
    sampling: Sampling,
    optimizations: frozenset[Optimization],
    on_progress: Progress,
    seeds: Sequence[int] | None = None,
) -> Tensor:
    """Denoise a batch. Returns latents (B, 4, h, w), float32.

    The latents are not yet divided by the VAE's scaling factor.

    Args:
        networks: loaded networks.
        pictures: conditions of the pictures.
        sampling: sampler and number of steps.
        optimizations: optimizations to apply.
        on_progress: called after each step with the finished fraction of the steps. Can raise Canceled.
        seeds: seed of each picture, from which a sampler that adds noise draws it. By default their numbers.
    """
    with torch.inference_mode():
        scheduler = make_scheduler(networks.scheduler_config, sampling, networks.device)
        steps = plan_steps(networks, pictures, sampling.steps, optimizations)
        predictor = make_predictor(networks, optimizations)
        scales = torch.tensor([picture.guidance_scale for picture in pictures], device=networks.device)
        guidance = scales[:, None, None, None]
        latents = torch.stack([picture.noise for picture in pictures]).to(networks.device) * scheduler.init_noise_sigma
        generators = step_generators(pictures, range(len(pictures)) if seeds is None else seeds)
        for step, timestep in zip(steps, scheduler.timesteps, strict=True):
            inputs = scheduler.scale_model_input(torch.cat([latents, latents]) if step.guided else latents, timestep)
            predicted = predictor.predict(inputs.to(networks.dtype), timestep, step.rows, step.control).float()
            if step.guided:
                without, with_ = predicted.chunk(2)
                predicted = without + guidance * (with_ - without)
            latents = scheduler.step(predicted, timestep, latents, generator=generators, return_dict=False)[0]
            on_progress(step.done)
    return latents


def step_generators(pictures: Sequence[Conditions], seeds: Sequence[int]) -> list[torch.Generator]:
    """Return the random number generator of each picture, for the noise that a sampler adds in its steps.

    They continue where `make_noise` stopped, as one generator does in diffusers. They are on the CPU, so that a seed
    gives the same noise on every machine and in every batch."""
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    for picture, generator in zip(pictures, generators, strict=True):
        torch.randn(picture.noise.shape, generator=generator)
    return generators


@dataclass(frozen=True, eq=False)
class Step:
    """One denoising step, after all optimizations have been resolved.

    Attributes:
        rows: input of the networks. Both halves of the batch if guided, otherwise the conditional half.
        guided: True if classifier-free guidance is applied.
        control: scale of the ControlNet per picture, (B, 1, 1, 1). None skips the ControlNet.
        done: fraction of the steps, 0..1, that is finished after this step.
    """

    rows: Rows
    guided: bool
    control: Tensor | None
    done: float


def plan_steps(
    networks: Networks, pictures: Sequence[Conditions], count: int, optimizations: frozenset[Optimization]
) -> list[Step]:
    """Plan each of `count` steps: its rows, its guidance and its ControlNet scale."""
    both = make_rows(networks, pictures, optimizations)
    conditional = both.conditional()
    needs_guidance = any(picture.guidance_scale != 1 for picture in pictures)
    guided = needs_guidance or Optimization.SKIP_IDLE not in optimizations
    guidance_end = CUTOFF if Optimization.GUIDANCE_CUTOFF in optimizations else 1.0
    steps = []
    for number, control in enumerate(control_scales(networks, pictures, count, optimizations), start=1):
        done = number / count
        is_guided = guided and done <= guidance_end
        steps.append(Step(both if is_guided else conditional, is_guided, control, done))
    return steps


def control_scales(
    networks: Networks, pictures: Sequence[Conditions], steps: int, optimizations: frozenset[Optimization]
) -> list[Tensor | None]:
    """Return the ControlNet scales of the pictures, (B, 1, 1, 1), for each step.

    The scale of a picture is 0 after its `control_end`. An entry is None if the step can skip the ControlNet. The
    tensors are copied to the device here, because a copy inside the denoising loop would stall the GPU."""
    ends = control_ends(pictures, optimizations)
    tensors: dict[tuple[float, ...], Tensor | None] = {}
    scales = []
    for step in range(steps):
        done = (step + 1) / steps
        each = tuple(picture.control_scale if done <= end else 0.0 for picture, end in zip(pictures, ends, strict=True))
        if each not in tensors:
            idle = Optimization.SKIP_IDLE in optimizations and not any(each)
            row = torch.tensor(each, device=networks.device, dtype=networks.dtype)
            tensors[each] = None if idle else row[:, None, None, None]
        scales.append(tensors[each])
    return scales


@dataclass(frozen=True, eq=False)
class NoisePredictor:
    """The ControlNet and the UNet, called as the optimizations require.

    Attributes:
        networks: loaded networks.
        arrange: function that converts latents to the networks' preferred memory layout.
        embed_condition: function that computes the ControlNet's embedding of `Rows.condition`.
        begin_step: function that marks the start of a pass for CUDA graphs.
    """

    networks: Networks
    arrange: Callable[[Tensor], Tensor]
    embed_condition: Callable[[Tensor], Tensor]
    begin_step: Callable[[], None]

    def predict(self, inputs: Tensor, timestep: Tensor, rows: Rows, control: Tensor | None) -> Tensor:
        """Predict the noise, (rows, 4, h, w), with one pass through ControlNet and UNet.

        Skips the ControlNet if `control` is None."""
        inputs = self.arrange(inputs)
        self.begin_step()
        added = {"text_embeds": rows.pooled, "time_ids": rows.time_ids}
        down, mid = None, None
        if control is not None:
            down, mid = self.networks.controlnet(
                inputs,
                timestep,
                encoder_hidden_states=rows.face,
                controlnet_cond=self.embed_condition(rows.condition),
                conditioning_scale=control.repeat(len(inputs) // len(control), 1, 1, 1),
                added_cond_kwargs=added,
                cross_attention_kwargs={"keys_values": rows.control_keys},
                return_dict=False,
            )
        predicted: Tensor = self.networks.unet(
            inputs,
            timestep,
            encoder_hidden_states=rows.text,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
            added_cond_kwargs=added,
            cross_attention_kwargs={
                "face": rows.face,
                "face_scale": rows.adapter_scale,
                "keys_values": rows.unet_keys,
            },
            return_dict=False,
        )[0]
        return predicted


def make_predictor(networks: Networks, optimizations: frozenset[Optimization]) -> NoisePredictor:
    """Create a predictor with the optimizations that affect every pass."""
    channels_last = partial(torch.Tensor.contiguous, memory_format=torch.channels_last)
    is_cached = Optimization.CACHED_CONDITION in optimizations
    has_graphs = Optimization.CUDA_GRAPHS in optimizations
    return NoisePredictor(
        networks,
        arrange=channels_last if Optimization.CHANNELS_LAST in optimizations else nn.Identity(),
        # `make_rows` has already embedded a cached condition.
        embed_condition=nn.Identity() if is_cached else networks.condition_embedding,
        begin_step=torch.compiler.cudagraph_mark_step_begin if has_graphs else lambda: None,
    )


def decode(networks: Networks, latents: Tensor) -> Tensor:
    """Decode latents to pictures, (B, 3, H, W) float32, 0..1, on the device.

    Decodes one picture at a time, because the decoder needs gigabytes of memory per picture."""
    vae = networks.vae
    with torch.inference_mode(), networks.on_device(vae):
        scaled = (latents / vae.config.scaling_factor).to(vae.dtype)
        pictures = [vae.decode(each[None], return_dict=False)[0].float() for each in scaled]
    return (torch.cat(pictures) / 2 + 0.5).clamp(0, 1)
