"""Real-ESRGAN here makes what the reference upsampler makes: pairs NAME.png, NAME_x4.png of its input and output."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.upscaling.upscale import WEIGHT, TorchUpscaler, UpscaleNetwork, load_network, upscale
from pipeline.weights import Weights

PAIRS = Path(os.environ.get("REALESRGAN_PARITY_DIR") or Path(__file__).parents[2] / "golden" / "realesrgan")
NAMES = sorted(path.name.removesuffix("_x4.png") for path in PAIRS.glob("*_x4.png"))


def read(name: str) -> np.ndarray:
    return np.asarray(Image.open(PAIRS / f"{name}.png").convert("RGB"))


@pytest.fixture(scope="module", params=["onnx", "torch"])
def network(request: pytest.FixtureRequest, weights: Weights) -> UpscaleNetwork:
    """Each backend, in fp32 on the CPU."""
    if request.param == "onnx":
        return load_network(weights)
    pytest.importorskip("torch")
    return TorchUpscaler.load(weights.path(WEIGHT), "cpu")


def test_there_are_pairs_to_compare():
    assert NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_picture_is_the_reference_to_one_step_of_255(name, network):
    enlarged = network.upscale(read(name), lambda share: None)

    difference = np.abs(enlarged.astype(int) - read(f"{name}_x4"))
    assert difference.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_tiles_differ_from_the_reference_by_nothing_that_can_be_seen(name, network):
    enlarged = upscale(read(name), network, lambda share: None, tile_px=64)

    difference = np.abs(enlarged.astype(int) - read(f"{name}_x4"))
    assert difference.mean() <= 0.15
    assert (difference <= 4).mean() >= 0.999
