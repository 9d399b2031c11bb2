"""Real-ESRGAN here makes what the reference upsampler makes: pairs NAME.png, NAME_x4.png of its input and output."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.upscaling.upscale import WEIGHT, TorchUpscaler, UpscaleNetwork, load_network, upscale
from pipeline.weights import Weights

PAIRS = Path(os.environ.get("REALESRGAN_PARITY_DIR") or Path(__file__).parents[2] / "golden" / "realesrgan")
NAMES = sorted(path.name.removesuffix("_x4.png") for path in PAIRS.glob("*_x4.png"))

Load = Callable[[str], UpscaleNetwork]


def read(name: str) -> np.ndarray:
    return np.array(Image.open(PAIRS / f"{name}.png").convert("RGB"))


# The name of the picture with the fewest pixels: they decide how long it takes.
QUICK = min(NAMES, key=lambda name: read(name).size, default="")


@pytest.fixture(scope="module")
def load(weights: Weights) -> Load:
    """Load the network of a backend once, in fp32 on the CPU."""

    @cache
    def _load(backend: str) -> UpscaleNetwork:
        if backend == "onnx":
            return load_network(weights, threads=1)
        torch = pytest.importorskip("torch")
        torch.set_num_threads(1)
        return TorchUpscaler.load(weights.path(WEIGHT), "cpu")

    return _load


def test_there_are_pairs_to_compare():
    assert NAMES


def assert_is_reference(name: str, network: UpscaleNetwork) -> None:
    enlarged = network.upscale(read(name), lambda share: None)

    difference = np.abs(enlarged.astype(int) - read(f"{name}_x4"))
    assert difference.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_picture_is_the_reference_to_one_step_of_255(name, load):
    assert_is_reference(name, load("onnx"))


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_picture_in_torch_is_the_reference_to_one_step_of_255(name, load):
    assert_is_reference(name, load("torch"))


def test_torch_computes_what_the_graph_computes(load):
    picture = read(QUICK)
    top, left = picture.shape[0] // 2 - 12, picture.shape[1] // 2 - 16
    crop = np.ascontiguousarray(picture[top : top + 24, left : left + 32])

    one, other = (load(backend).upscale(crop, lambda share: None) for backend in ("onnx", "torch"))

    assert np.abs(one.astype(int) - other).max() <= 1


def assert_cannot_be_told_apart(enlarged: np.ndarray, reference: np.ndarray) -> None:
    difference = np.abs(enlarged.astype(int) - reference)
    assert difference.mean() <= 0.15
    assert (difference <= 4).mean() >= 0.999


def test_a_tile_differs_from_the_reference_by_nothing_that_can_be_seen(load):
    """One tile of a picture. That tiles are put together without a seam is shown in test_upscale.py."""
    picture, columns = read(QUICK), 40
    wanted = np.zeros(picture.shape[:2], np.bool_)
    wanted[:, :columns] = True

    enlarged = upscale(picture, load("onnx"), lambda share: None, tile_px=64, wanted=wanted)

    shown = np.s_[:, : 4 * columns]
    assert_cannot_be_told_apart(enlarged[shown], read(f"{QUICK}_x4")[shown])


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("name", NAMES)
def test_tiles_differ_from_the_reference_by_nothing_that_can_be_seen(name, load, backend):
    enlarged = upscale(read(name), load(backend), lambda share: None, tile_px=64)

    assert_cannot_be_told_apart(enlarged, read(f"{name}_x4"))
