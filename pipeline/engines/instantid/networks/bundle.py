"""All loaded networks as one value, and the optimizations applied to them once, after loading."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch._dynamo.config
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    UNet2DConditionModel,
)
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipeline.diffusion.optimizations import Optimization

Config = Mapping[str, object]


@dataclass(frozen=True, eq=False)
class Networks:
    """All networks that make pictures.

    UNet and ControlNet stay on `device`. The VAE and text encoders do too, unless `offload`. `condition_embedding` is
    the ControlNet's first stage, split off because its input, the key point image, is constant over the steps."""

    unet: UNet2DConditionModel
    controlnet: ControlNetModel
    condition_embedding: nn.Module
    resampler: nn.Module
    vae: AutoencoderKL
    text_encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection]
    tokenizers: tuple[CLIPTokenizer, ...]
    scheduler_config: Config
    device: torch.device
    dtype: torch.dtype
    offload: bool = False

    @property
    def vae_factor(self) -> int:
        """Return the width and height of a latent position in pixels."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @contextmanager
    def on_device(self, *modules: nn.Module) -> Iterator[None]:
        """Move these modules to the device for the block, and back to the CPU afterwards.

        Does nothing without `offload`, because then all modules are on the device."""
        if not self.offload:
            yield
            return
        try:
            for module in modules:
                module.to(self.device)
            yield
        finally:
            for module in modules:
                module.to("cpu")


# Upper bound of the shapes that a network is compiled for: one picture or a batch, guided or not, on two canvases, and
# halved batches.
SHAPES = 32


def prepare_networks(networks: Networks, optimizations: frozenset[Optimization]) -> None:
    """Apply the optimizations to freshly loaded networks, in place.

    The order matters: compiling must come last."""
    from pipeline.diffusion.attention import fuse_self_attention
    from pipeline.diffusion.quantization import Float8Linear, Int8Linear, quantize_linears

    both = (networks.unet, networks.controlnet)
    if Optimization.FUSED_QKV in optimizations:
        for network in both:
            fuse_self_attention(network)
    for optimization, kind in ((Optimization.FP8, Float8Linear), (Optimization.INT8, Int8Linear)):
        if optimization in optimizations:
            for network in both:
                quantize_linears(network, kind)
    if Optimization.HALF_VAE in optimizations:
        networks.vae.to(networks.dtype)
    if Optimization.CHANNELS_LAST in optimizations:
        for network in (*both, networks.vae):
            network.to(memory_format=torch.channels_last)
    torch.backends.cudnn.benchmark = Optimization.CUDNN_SEARCH in optimizations
    if Optimization.COMPILE in optimizations:
        # One entry per shape. Beyond the limit torch would silently run uncompiled.
        torch._dynamo.config.recompile_limit = SHAPES
        mode = "reduce-overhead" if Optimization.CUDA_GRAPHS in optimizations else None
        for network in both:
            network.compile(dynamic=False, mode=mode)
        networks.vae.decoder.compile(dynamic=False)
