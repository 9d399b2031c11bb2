"""A container for all loaded networks, and the optimizations that are applied once after loading."""

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
    """All networks that render a picture.

    Attributes:
        unet: always on `device`.
        controlnet: always on `device`, without its condition embedding.
        condition_embedding: first stage of the ControlNet. It is separate because its input, the keypoint image, is
            constant over the steps.
        resampler: maps a face embedding to face tokens.
        vae: on `device`, or on the CPU if `offload`.
        text_encoders: on `device`, or on the CPU if `offload`.
        tokenizers: one for each text encoder.
        scheduler_config: config of the scheduler in the checkpoint.
        device: device that renders.
        dtype: precision of the UNet and the ControlNet.
        offload: True if `on_device` moves the VAE and the text encoders to the device when they are needed.
    """

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
        """Return the size of a latent position in pixels."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @contextmanager
    def on_device(self, *modules: nn.Module) -> Iterator[None]:
        """Move these modules to the device for the duration of the block, then back to the CPU.

        Does nothing without `offload`, because all modules are on the device already."""
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


# Upper bound for the number of input shapes that a network is compiled for: one picture or a batch, guided or not, two
# canvases, and halved batches.
SHAPES = 32


def prepare_networks(networks: Networks, optimizations: frozenset[Optimization]) -> None:
    """Apply the optimizations to newly loaded networks, in place.

    The order matters. Compiling must come last."""
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
        # Allow one compiled version per shape. Above the limit torch would silently run uncompiled code.
        torch._dynamo.config.recompile_limit = SHAPES
        mode = "reduce-overhead" if Optimization.CUDA_GRAPHS in optimizations else None
        for network in both:
            network.compile(dynamic=False, mode=mode)
        networks.vae.decoder.compile(dynamic=False)


def leave_uncompiled(networks: Networks, *others: nn.Module) -> None:
    """Undo the optimization `compile`, in place."""
    for network in (networks.unet, networks.controlnet, networks.vae.decoder, *others):
        network._compiled_call_impl = None
