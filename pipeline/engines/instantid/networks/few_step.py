"""Few-step distillation: fuse a LoRA into the weights of the UNet."""

from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors import SafetensorError
from torch import Tensor, nn

from pipeline.errors import WeightsError

DOWN, UP = ".lora.down.weight", ".lora.up.weight"


def fuse_lora(unet: UNet2DConditionModel, source: Path) -> int:
    """Add a LoRA to the UNet's weights, in place. Returns the number of changed layers.

    diffusers converts the usual tensor layouts. Raises WeightsError if a tensor does not match a layer and its shape.
    """
    try:
        tensors, alphas = StableDiffusionXLPipeline.lora_state_dict(
            str(source.parent),
            weight_name=source.name,
            local_files_only=True,
            use_safetensors=True,
            unet_config=unet.config,
        )
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(f"The few-step adapter {source} cannot be read: {error}".splitlines()[0]) from error
    tensors = {plain_name(name): tensor for name, tensor in tensors.items()}
    scales = {
        plain_name(name.removesuffix(".alpha")).removesuffix(DOWN): alpha for name, alpha in (alphas or {}).items()
    }
    layers = sorted(name.removesuffix(DOWN) for name in tensors if name.startswith("unet.") and name.endswith(DOWN))
    if not layers or 2 * len(layers) != sum(name.startswith("unet.") for name in tensors):
        raise WeightsError(f"The few-step adapter {source} contains something other than low-rank pairs for the UNet.")
    for layer in layers:
        try:
            module = unet.get_submodule(layer.removeprefix("unet."))
        except AttributeError as error:
            raise WeightsError(
                f"The few-step adapter {source} refers to {layer}, which this UNet does not have."
            ) from error
        down, up = tensors[layer + DOWN].float(), tensors[layer + UP].float()
        rank = down.shape[0]
        add_low_rank(module, down, up, float(scales.get(layer, rank)) / rank)
    return len(layers)


def plain_name(name: str) -> str:
    """Convert a tensor name to `LAYER.lora.down.weight` or `LAYER.lora.up.weight`.

    diffusers also writes `LAYER.lora_A.weight` (of PEFT), and earlier `processor.to_q_lora.down.weight`."""
    name = name.replace(".lora_A.weight", DOWN).replace(".lora_B.weight", UP)
    for layer, module in (("to_q", "to_q"), ("to_k", "to_k"), ("to_v", "to_v"), ("to_out", "to_out.0")):
        name = name.replace(f".processor.{layer}_lora.", f".{module}.lora.")
    return name


def add_low_rank(module: nn.Module, down: Tensor, up: Tensor, scale: float) -> None:
    """Add scale * up @ down to the module's weight. Computes in full precision.

    Raises WeightsError if the shapes do not match."""
    weight = module.weight
    change = up.flatten(1) @ down.flatten(1)
    if change.numel() != weight.numel():
        raise WeightsError(
            f"A low-rank pair has the shape {tuple(change.shape)}, but the layer has {tuple(weight.shape)}."
        )
    with torch.no_grad():
        weight.copy_((weight.float() + scale * change.reshape(weight.shape).to(weight.device)).to(weight.dtype))
