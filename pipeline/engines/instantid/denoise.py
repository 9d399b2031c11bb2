"""From noise to pictures: one loop for any mix of prompts, seeds, poses and people.

The pictures of a batch share nothing but the steps, so each comes out as it would alone (to rounding)."""

from collections.abc import Sequence

import torch
from torch import Tensor

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
) -> Tensor:
    """(B, 4, h, w) float32 latents, not yet divided by the VAE's factor.

    `on_progress` hears the share of the steps after each one and may raise Canceled."""
    with torch.inference_mode():
        scheduler = make_scheduler(networks.scheduler_config, sampling, networks.device)
        both = make_rows(networks, pictures, optimizations)
        conditional = both.conditional()
        scales = torch.tensor([picture.guidance_scale for picture in pictures], device=networks.device)
        guidance = scales[:, None, None, None]
        control = control_scales(networks, pictures, sampling.steps, optimizations)
        guided = Optimization.SKIP_IDLE not in optimizations or any(picture.guidance_scale != 1 for picture in pictures)
        latents = torch.stack([picture.noise for picture in pictures]).to(networks.device) * scheduler.init_noise_sigma
        for step, timestep in enumerate(scheduler.timesteps):
            done = (step + 1) / sampling.steps
            guide = guided and not (Optimization.GUIDANCE_CUTOFF in optimizations and done > CUTOFF)
            rows = both if guide else conditional
            inputs = scheduler.scale_model_input(torch.cat([latents, latents]) if guide else latents, timestep)
            predicted = predict_noise(
                networks, inputs.to(networks.dtype), timestep, rows, control[step], optimizations
            ).float()
            if guide:
                without, with_ = predicted.chunk(2)
                predicted = without + guidance * (with_ - without)
            latents = scheduler.step(predicted, timestep, latents, return_dict=False)[0]
            on_progress(done)
    return latents


def control_scales(
    networks: Networks, pictures: Sequence[Conditions], steps: int, optimizations: frozenset[Optimization]
) -> list[Tensor | None]:
    """The ControlNet's scale, (B, 1, 1, 1), in each step; a picture's is 0 beyond its end.

    None where the ControlNet need not run. On the device before the loop begins: a copy in it would stop the GPU."""
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


def predict_noise(
    networks: Networks,
    inputs: Tensor,
    timestep: Tensor,
    rows: Rows,
    control: Tensor | None,
    optimizations: frozenset[Optimization],
) -> Tensor:
    """(rows, 4, h, w): one pass through ControlNet, unless `control` is None, and UNet."""
    if Optimization.CHANNELS_LAST in optimizations:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    if Optimization.CUDA_GRAPHS in optimizations:
        torch.compiler.cudagraph_mark_step_begin()
    added = {"text_embeds": rows.pooled, "time_ids": rows.time_ids}
    down, mid = None, None
    if control is not None:
        condition = rows.condition
        if Optimization.CACHED_CONDITION not in optimizations:
            condition = networks.condition_embedding(condition)
        down, mid = networks.controlnet(
            inputs,
            timestep,
            encoder_hidden_states=rows.face,
            controlnet_cond=condition,
            conditioning_scale=control.repeat(len(inputs) // len(control), 1, 1, 1),
            added_cond_kwargs=added,
            cross_attention_kwargs={"keys_values": rows.control_keys},
            return_dict=False,
        )
    predicted: Tensor = networks.unet(
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


def decode(networks: Networks, latents: Tensor) -> Tensor:
    """(B, 3, H, W) float32, 0..1, on the device. One picture at a time: the decoder needs gigabytes for each."""
    vae = networks.vae
    with torch.inference_mode(), networks.on_device(vae):
        scaled = (latents / vae.config.scaling_factor).to(vae.dtype)
        pictures = [vae.decode(each[None], return_dict=False)[0].float() for each in scaled]
    return (torch.cat(pictures) / 2 + 0.5).clamp(0, 1)
