"""Load InstantID's adapter into the UNet and verify its tensors."""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline.errors import WeightsError
from pipeline.weights.convert import PARTS, first_line

EMBEDDING_LENGTH = 512


def load_adapter(unet: UNet2DConditionModel, source: Path) -> torch.nn.Module:
    """Load the adapter into the UNet's face projections and return its resampler.

    The resampler maps (rows, 1, 512) to (rows, 1, tokens, width). diffusers converts the layout. Raises WeightsError
    unless every tensor is present with the shape that this UNet needs."""
    try:
        tensors = load_file(source)
    except FileNotFoundError as error:
        raise WeightsError(f"The adapter {source} is missing.") from error
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"The adapter {source} cannot be read: {first_line(error)}") from error
    parts = {
        part: {name.removeprefix(f"{part}."): tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
        for part in PARTS
    }
    verify_adapter(parts, unet, source)
    try:
        unet._load_ip_adapter_weights([parts])
    except (KeyError, RuntimeError, ValueError, AttributeError) as error:
        raise WeightsError(f"The adapter {source} does not fit: {first_line(error)}") from error
    resampler = unet.encoder_hid_proj.image_projection_layers[0]
    # Without a projection the UNet passes the tokens on unchanged. The resampler runs once per person instead of every
    # step.
    unet.encoder_hid_proj = None
    return resampler


def verify_adapter(parts: Mapping[str, Mapping[str, Tensor]], unet: UNet2DConditionModel, source: Path) -> None:
    """Raise WeightsError unless every cross-attention layer has a key and a value projection.

    Also verifies that the adapter takes embeddings of 512 numbers and makes tokens of the UNet's width."""
    width = unet.config.cross_attention_dim
    wanted: dict[str, tuple[int, ...]] = {}
    for index, name in enumerate(unet.attn_processors):
        if name.endswith("attn2.processor"):
            out = unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
            wanted |= {f"{index}.to_k_ip.weight": (out, width), f"{index}.to_v_ip.weight": (out, width)}
    found = {name: tuple(tensor.shape) for name, tensor in parts["ip_adapter"].items()}
    if found != wanted:
        wrong = next(name for name in sorted(wanted.keys() | found.keys()) if found.get(name) != wanted.get(name))
        raise WeightsError(
            f"The adapter {source} does not fit this UNet: {wrong} is {found.get(wrong, 'missing')} "
            f"instead of {wanted.get(wrong, 'absent')}."
        )
    projection = parts["image_proj"].get("proj_in.weight")
    output = parts["image_proj"].get("norm_out.weight")
    if projection is None or projection.shape[1] != EMBEDDING_LENGTH:
        raise WeightsError(f"The adapter {source} does not accept embeddings of {EMBEDDING_LENGTH} numbers.")
    if output is None or output.shape != (width,):
        raise WeightsError(f"The adapter {source} does not produce tokens of width {width}.")
