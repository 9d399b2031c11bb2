"""Count the arithmetic operations of a picture, by running the networks on shapes without data."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pipeline.diffusion.optimizations import CUTOFF, Optimization
from pipeline.engines.instantid.config import Sampling
from pipeline.engines.instantid.networks.random_weights import FACE_TOKENS, Architecture, Parts, build_parts
from pipeline.types import Size

TERA = 1e12


@dataclass(frozen=True)
class PictureFlops:
    """Tera floating-point operations of one pass of each network.

    A multiplication and an addition count as two operations.

    Attributes:
        unet: one row through the UNet.
        controlnet: one row through the ControlNet, without the condition embedding.
        condition: condition embedding of one picture.
        vae: decoding of one picture.
        upscaler: enlarging of one picture.
    """

    unet: float
    controlnet: float
    condition: float
    vae: float
    upscaler: float

    def denoising(self, sampling: Sampling, optimizations: frozenset[Optimization]) -> float:
        """Return the operations of all denoising steps of one picture.

        Lossless optimizations do not change the number. The condition embedding counts once, even if it is computed in
        every step."""
        total = self.condition
        for step in range(sampling.steps):
            late = (step + 1) / sampling.steps > CUTOFF
            rows = (
                1
                if Optimization.FEW_STEP in optimizations or (late and Optimization.GUIDANCE_CUTOFF in optimizations)
                else 2
            )
            control = 0 if late and Optimization.CONTROL_CUTOFF in optimizations else 1
            total += rows * (self.unet + control * self.controlnet)
        return total


def count_flops(architecture: Architecture, size: Size) -> PictureFlops:
    """Count the operations of one picture of this size.

    Computes nothing: tensors on the device `meta` have a shape but no data."""
    parts = build_parts(architecture, "meta", torch.float32)
    factor = 2 ** (len(architecture.vae_channels) - 1)
    latents = torch.empty(1, 4, size.height // factor, size.width // factor, device="meta")
    picture = torch.empty(1, 3, size.height, size.width, device="meta")
    condition = count(lambda: parts.controlnet.controlnet_cond_embedding(picture))
    return PictureFlops(
        unet=count(lambda: run_unet(parts, latents)),
        controlnet=count(lambda: run_controlnet(parts, latents, picture)) - condition,
        condition=condition,
        vae=count(lambda: parts.vae.decode(latents, return_dict=False)[0]),
        upscaler=count(lambda: parts.upscaler(picture)),
    )


def count(run: Callable[[], Tensor]) -> float:
    """Return the tera operations of one call."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops()) / TERA


def run_unet(parts: Parts, latents: Tensor) -> Tensor:
    """Run one row through the UNet with diffusers' own attention, with 77 text tokens and the face tokens."""
    width = parts.unet.config.cross_attention_dim
    text = torch.empty(1, 77, width, device=latents.device)
    face = torch.empty(1, 1, FACE_TOKENS, width, device=latents.device)
    predicted: Tensor = parts.unet(
        latents, 1, encoder_hidden_states=(text, [face]), added_cond_kwargs=_added(parts, latents), return_dict=False
    )[0]
    return predicted


def run_controlnet(parts: Parts, latents: Tensor, picture: Tensor) -> Tensor:
    """Run one row through the ControlNet, which takes the face tokens only."""
    face = torch.empty(1, FACE_TOKENS, parts.unet.config.cross_attention_dim, device=latents.device)
    residual: Tensor = parts.controlnet(
        latents, 1, face, picture, added_cond_kwargs=_added(parts, latents), return_dict=False
    )[1]
    return residual


def _added(parts: Parts, latents: Tensor) -> dict[str, Tensor]:
    pooled = parts.text_encoders[1].config.projection_dim
    return {
        "text_embeds": torch.empty(1, pooled, device=latents.device),
        "time_ids": torch.empty(1, 6, device=latents.device),
    }
