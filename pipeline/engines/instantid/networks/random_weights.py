"""Build the networks with random weights, at full or tiny size, for tests and benchmarks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from pipeline.engines.instantid.networks.adapter import EMBEDDING_LENGTH
from pipeline.upscaling.rrdb_torch import RRDBNet
from pipeline.upscaling.rrdb_weights import BLOCKS, FEATURES, GROWTH

FACE_TOKENS = 16
# The Euler scheduler's config in SDXL's checkpoints.
SCHEDULER_CONFIG = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "interpolation_type": "linear",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}


@dataclass(frozen=True)
class Architecture:
    """The sizes of all networks.

    Fields are named after the libraries' config options."""

    name: str
    channels: tuple[int, ...] = (320, 640, 1280)
    heads: tuple[int, ...] = (5, 10, 20)
    transformer_layers: tuple[int, ...] = (1, 2, 10)
    norm_groups: int = 32
    time_channels: int = 256
    text: tuple[tuple[int, int, int], tuple[int, int, int]] = ((768, 12, 12), (1280, 32, 20))
    vocabulary: int = 49408
    condition_channels: tuple[int, ...] = (16, 32, 96, 256)
    vae_channels: tuple[int, ...] = (128, 256, 512, 512)
    vae_layers: int = 2
    resampler: tuple[int, int] = field(default=(1280, 20))
    upscaler: tuple[int, int, int] = (FEATURES, GROWTH, BLOCKS)

    @property
    def width(self) -> int:
        """Return the number of channels of a text or face token."""
        return self.text[0][0] + self.text[1][0]


SDXL = Architecture("sdxl")
TINY = Architecture(
    "tiny",
    channels=(16, 32, 32),
    heads=(2, 2, 4),
    transformer_layers=(1, 1, 1),
    norm_groups=8,
    time_channels=8,
    text=((16, 3, 2), (16, 3, 2)),
    vocabulary=518,
    condition_channels=(16, 32),
    vae_channels=(8, 16),
    vae_layers=1,
    resampler=(64, 1),
    upscaler=(8, 4, 1),
)


@dataclass(frozen=True, eq=False)
class Parts:
    """The networks as the libraries build them, with the libraries' own attention and without fused layers."""

    unet: UNet2DConditionModel
    controlnet: ControlNetModel
    resampler: nn.Module
    vae: AutoencoderKL
    text_encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection]
    upscaler: RRDBNet


def build_parts(architecture: Architecture, device: str, dtype: torch.dtype) -> Parts:
    """Build all networks on the device in this precision.

    The device `meta` needs no memory and is sufficient for counting operations."""
    torch.manual_seed(0)
    with default_device_and_dtype(device, dtype):
        unet = build_unet(architecture)
        controlnet = ControlNetModel.from_unet(
            unet,
            conditioning_embedding_out_channels=architecture.condition_channels,
            load_weights_from_unet=False,
        )
        # The last layers of a new ControlNet are zero. Random weights make timings comparable to those of trained
        # weights.
        for layer in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block):
            nn.init.normal_(layer.weight, std=0.02)
        # Add the face attention only now, because the ControlNet is built from the UNet and must not copy these layers.
        add_face_attention(unet)
        channels, heads = architecture.resampler
        resampler = IPAdapterPlusImageProjection(
            embed_dims=EMBEDDING_LENGTH,
            output_dims=architecture.width,
            hidden_dims=channels,
            depth=4,
            dim_head=channels // heads,
            heads=heads,
            num_queries=FACE_TOKENS,
        )
        parts = Parts(
            unet=unet,
            controlnet=controlnet,
            resampler=resampler,
            vae=build_vae(architecture),
            text_encoders=build_text_encoders(architecture),
            upscaler=RRDBNet(*architecture.upscaler),
        )
    for module in (unet, controlnet, resampler, parts.vae, *parts.text_encoders, parts.upscaler):
        module.eval().requires_grad_(False)
    return parts


@contextmanager
def default_device_and_dtype(device: str, dtype: torch.dtype) -> Iterator[None]:
    """Create new tensors on this device and in this precision for the duration of the block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def build_unet(architecture: Architecture) -> UNet2DConditionModel:
    """Build the UNet of SDXL."""
    pooled = architecture.text[1][0]
    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=architecture.channels,
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=architecture.transformer_layers,
        attention_head_dim=architecture.heads,
        use_linear_projection=True,
        cross_attention_dim=architecture.width,
        addition_embed_type="text_time",
        addition_time_embed_dim=architecture.time_channels,
        projection_class_embeddings_input_dim=6 * architecture.time_channels + pooled,
        norm_num_groups=architecture.norm_groups,
    )


def add_face_attention(unet: UNet2DConditionModel) -> None:
    """Add the adapter's projections to every cross-attention layer, as loading an adapter does."""
    processors = dict(unet.attn_processors)
    for name in processors:
        if name.endswith("attn2.processor"):
            attn = unet.get_submodule(name.removesuffix(".processor"))
            processors[name] = IPAdapterAttnProcessor2_0(
                attn.to_q.out_features, unet.config.cross_attention_dim, num_tokens=(FACE_TOKENS,), scale=0.8
            )
    unet.set_attn_processor(processors)


def build_vae(architecture: Architecture) -> AutoencoderKL:
    """Build the VAE of SDXL in the fp16-fix variant, which does not overflow in half precision."""
    blocks = len(architecture.vae_channels)
    return AutoencoderKL(
        block_out_channels=architecture.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=architecture.vae_layers,
        latent_channels=4,
        norm_num_groups=architecture.norm_groups,
        sample_size=1024,
        scaling_factor=0.13025,
        force_upcast=False,
    )


def build_text_encoders(architecture: Architecture) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Build the two text encoders, CLIP ViT-L and OpenCLIP ViT-bigG."""
    first, second = (
        CLIPTextConfig(
            vocab_size=architecture.vocabulary,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            projection_dim=width,
            hidden_act=activation,
            bos_token_id=architecture.vocabulary - 2,
            eos_token_id=architecture.vocabulary - 1,
        )
        for (width, layers, heads), activation in zip(architecture.text, ("quick_gelu", "gelu"), strict=True)
    )
    return CLIPTextModel(first), CLIPTextModelWithProjection(second)
