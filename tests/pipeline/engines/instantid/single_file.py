"""Writes SDXL in diffusers' layout as one checkpoint file, in the names of Stability's original code."""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def write_single_file(base: Path, target: Path) -> None:
    """All weights of the folder `base` in one .safetensors file, as checkpoints of SDXL are shared."""
    unet = load_file(base / "unet" / "diffusion_pytorch_model.safetensors")
    vae = load_file(base / "vae" / "diffusion_pytorch_model.safetensors")
    first = load_file(base / "text_encoder" / "model.safetensors")
    second = load_file(base / "text_encoder_2" / "model.safetensors")
    tensors = single_file_layout(unet, vae, first, second)
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, target)


def single_file_layout(
    unet: dict[str, Tensor], vae: dict[str, Tensor], first: dict[str, Tensor], second: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The same tensors in the names and shapes of the one file. Works on tensors without data, too."""
    levels = 1 + max(int(name.split(".")[2]) for name in vae if name.startswith("encoder.down_blocks."))
    tensors = {f"model.diffusion_model.{unet_name(name)}": tensor for name, tensor in unet.items()}
    for name, tensor in vae.items():
        # The original's attention is made of 1 x 1 convolutions.
        matrix = "attentions" in name and tensor.ndim == 2
        tensors[f"first_stage_model.{vae_name(name, levels)}"] = tensor[:, :, None, None] if matrix else tensor
    tensors |= {f"conditioner.embedders.0.transformer.{name}": tensor for name, tensor in with_prefix(first).items()}
    tensors |= {
        f"conditioner.embedders.1.model.{name}": tensor for name, tensor in open_clip(with_prefix(second)).items()
    }
    return tensors


def unet_name(name: str) -> str:
    """Three levels of two layers each, as SDXL has."""
    for ours, theirs in UNET_ENDS.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    side, *rest = name.split(".")
    if side == "mid_block":
        kind, index, *inner = rest
        place = "middle_block.1" if kind == "attentions" else f"middle_block.{2 * int(index)}"
        return f"{place}.{inner_name(kind, inner)}"
    level, kind, index, *inner = rest
    if kind == "downsamplers":
        return f"input_blocks.{3 * (int(level) + 1)}.0.op.{inner[-1]}"
    if kind == "upsamplers":
        return f"output_blocks.{3 * int(level) + 2}.2.conv.{inner[-1]}"
    number = 3 * int(level) + int(index) + (1 if side == "down_blocks" else 0)
    blocks = "input_blocks" if side == "down_blocks" else "output_blocks"
    return f"{blocks}.{number}.{int(kind == 'attentions')}.{inner_name(kind, inner)}"


def inner_name(kind: str, inner: list[str]) -> str:
    return ".".join([RESNET[inner[0]], *inner[1:]] if kind == "resnets" else inner)


def vae_name(name: str, levels: int) -> str:
    name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    if "mid_block.attentions.0." in name:
        name = name.replace("mid_block.attentions.0.", "mid.attn_1.")
        for ours, theirs in VAE_ATTENTION.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
    name = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0\.", r"down.\1.downsample.", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda found: f"up.{levels - 1 - int(found[1])}.block.", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0\.", lambda found: f"up.{levels - 1 - int(found[1])}.upsample.", name)


def with_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Text encoders with the names of their old layout, whichever transformers wrote them."""
    kept = ("text_model.", "text_projection.")
    return {name if name.startswith(kept) else f"text_model.{name}": tensor for name, tensor in tensors.items()}


def open_clip(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The second text encoder as OpenCLIP names it: one matrix for query, key and value."""
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if "_proj." in name and "self_attn.out_proj" not in name:
            continue
        if name.startswith("text_projection"):
            result["text_projection"] = tensor.T
            continue
        new = name.removeprefix("text_model.").replace("encoder.layers.", "transformer.resblocks.")
        for ours, theirs in (
            ("layer_norm1", "ln_1"),
            ("layer_norm2", "ln_2"),
            ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"),
            ("self_attn.out_proj", "attn.out_proj"),
            ("final_layer_norm", "ln_final"),
            ("embeddings.token_embedding", "token_embedding"),
            ("embeddings.position_embedding.weight", "positional_embedding"),
        ):
            new = new.replace(ours, theirs)
        result[new] = tensor
    layers = sorted({int(name.split(".")[3]) for name in tensors if name.startswith("text_model.encoder.layers.")})
    for layer in layers:
        for what in ("weight", "bias"):
            parts = [tensors[f"text_model.encoder.layers.{layer}.self_attn.{part}_proj.{what}"] for part in "qkv"]
            result[f"transformer.resblocks.{layer}.attn.in_proj_{what}"] = torch.cat(parts)
    return result
