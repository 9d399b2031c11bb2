"""A few-step adapter changes each layer that it names by exactly its low-rank pair, in every layout that is shared."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest

from tests.helpers.torch_needed import require_torch

require_torch()

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.engines.instantid.networks.few_step import fuse_lora
from pipeline.engines.instantid.networks.random_weights import TINY, build_unet
from pipeline.errors import WeightsError
from tests.pipeline.engines.instantid.single_file import unet_name

# The layers of SDXL's UNet, under their names, with a few channels each.
ARCHITECTURE = replace(TINY, channels=(16, 32, 64), heads=(2, 2, 4), transformer_layers=(1, 2, 10))
# The layers outside of all blocks. Adapters seldom change them, and diffusers cannot read every spelling of them.
UNCHANGED = ("conv_in", "conv_out", "time_embedding", "add_embedding")
RANK, ALPHA = 2, 1.0
Pairs = dict[str, tuple[Tensor, Tensor]]


@pytest.fixture(scope="module")
def original() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return build_unet(ARCHITECTURE)


@pytest.fixture
def unet(original) -> UNet2DConditionModel:
    return deepcopy(original)


def make_pairs(unet: UNet2DConditionModel) -> Pairs:
    pairs: Pairs = {}
    for name, module in unet.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not name.startswith(UNCHANGED):
            outputs, inputs, *kernel = module.weight.shape
            shape = [1] * len(kernel)
            pairs[name] = torch.randn(RANK, inputs, *kernel), torch.randn(outputs, RANK, *shape)
    return pairs


def kohya(name: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    key = "lora_unet_" + name.replace(".", "_")
    return {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(ALPHA)}


def kohya_of_original(name: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    """Stability's names of the blocks, as in checkpoints of one file."""
    return kohya(unet_name(f"{name}.weight").removesuffix(".weight"), down, up)


def diffusers(name: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    return {f"unet.{name}.lora.down.weight": down, f"unet.{name}.lora.up.weight": up}


def peft(name: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    return {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}


@pytest.mark.parametrize(
    ("write", "scale"),
    [(kohya, ALPHA / RANK), (kohya_of_original, ALPHA / RANK), (diffusers, 1.0), (peft, 1.0)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_layer_of_sdxl_is_changed_exactly(
    unet, original, tmp_path, write: Callable[[str, Tensor, Tensor], dict[str, Tensor]], scale
):
    torch.manual_seed(1)
    pairs = make_pairs(unet)
    tensors: dict[str, Tensor] = {}
    for name, (down, up) in pairs.items():
        tensors |= write(name, down, up)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "lora.safetensors")

    changed = fuse_lora(unet, tmp_path / "lora.safetensors")

    assert changed == len(pairs) == 788
    before = original.state_dict()
    for name, weight in unet.state_dict().items():
        layer, _, kind = name.rpartition(".")
        expected = before[name]
        if kind == "weight" and layer in pairs:
            down, up = pairs[layer]
            expected = expected + scale * (up.flatten(1) @ down.flatten(1)).reshape(expected.shape)
        assert torch.equal(weight, expected), name


@pytest.mark.parametrize(
    ("tensors", "fault"),
    [
        ({"unet.down_blocks.7.attentions.0.proj_in": (4, 32)}, "does not have"),
        ({"unet.mid_block.attentions.0.proj_in": (4, 5)}, "shape"),
        ({"text_encoder.text_model.encoder.layers.0.mlp.fc1": (4, 32)}, "other than low-rank pairs for the UNet"),
    ],
)
def test_an_adapter_for_another_network_is_refused(original, tmp_path, tensors, fault):
    content = {
        f"{layer}.lora.{part}.weight": torch.randn(shape if part == "down" else shape[::-1])
        for layer, shape in tensors.items()
        for part in ("down", "up")
    }
    save_file(content, tmp_path / "lora.safetensors")

    with pytest.raises(WeightsError, match=fault):
        fuse_lora(original, tmp_path / "lora.safetensors")
