"""Parts of the InstantID engine, each alone: fusion, canvas, memory, optimizations, 8 bit, upscaling."""

import numpy as np
import pytest

from tests.helpers.torch_needed import require_torch

require_torch()

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from pipeline.diffusion.memory import MemoryMode, fitting_batch, memory_mode, next_batch
from pipeline.diffusion.optimizations import (
    EXPLANATIONS,
    LOSSLESS,
    Optimization,
    capability_fault,
    change_optimizations,
    compiler_fault,
    default_optimizations,
)
from pipeline.diffusion.quantization import Float8Linear, Int8Linear, quantize_linears
from pipeline.engines.instantid.canvas import canvas_for, fit, to_gray
from pipeline.engines.instantid.faces import FaceReading, crop_around, fuse, overlap
from pipeline.errors import EngineUnavailable, FaceNotFound, WeightsError
from pipeline.types import PREVIEW, PREVIEW_SQUARE, Box, Size
from pipeline.upscaling.rrdb_torch import RRDBNet, load_rrdbnet
from pipeline.upscaling.upscale import TorchUpscaler
from tests.pipeline.engines.instantid.tiny_instantid import GOLDEN

MILLION = 896 * 1152


def embedding(seed: int, length: float) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=512)
    return (vector / np.linalg.norm(vector) * length).astype(np.float32)


# Fusion of several photos


def test_a_single_photo_keeps_its_raw_embedding():
    raw = embedding(1, 23.0)

    assert fuse([FaceReading(raw, 0.4)]) is raw


def test_fused_photos_have_a_typical_length_and_lean_to_the_better_photo():
    good, poor = embedding(1, 24.0), embedding(2, 16.0)

    fused = fuse([FaceReading(good, 0.9), FaceReading(poor, 0.3)])

    def cosine(one, other):
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    assert np.linalg.norm(fused) == pytest.approx(22.0, rel=1e-4)
    assert cosine(fused, good) > 0.9 > 0.5 > cosine(fused, poor)


def test_fusion_does_not_depend_on_the_order_of_the_photos():
    readings = [FaceReading(embedding(seed, 20 + seed), 0.2 * seed) for seed in (1, 2, 3)]

    np.testing.assert_allclose(fuse(readings), fuse(readings[::-1]), rtol=1e-5)


def test_without_a_reading_there_is_no_face():
    with pytest.raises(FaceNotFound):
        fuse([])


def test_the_detector_is_shown_the_face_in_the_middle_even_at_the_border():
    pixels = np.zeros((300, 200, 3), np.uint8)
    pixels[0:40, 0:40] = 255

    square, offset, scale = crop_around(pixels, Box(0, 0, 40, 40))

    assert square.shape == (120, 120, 3)
    assert scale == 1
    assert tuple(offset) == (-40, -40)
    assert (square[40:80, 40:80] == 255).all()
    assert square.sum() == 255 * 40 * 40 * 3


def test_a_large_face_is_shown_smaller():
    square, _, scale = crop_around(np.zeros((3000, 3000, 3), np.uint8), Box(1000, 1000, 2000, 2000))

    assert square.shape == (1280, 1280, 3)
    assert scale == pytest.approx(1280 / 3000)


def test_overlap_is_one_for_the_same_box_and_nothing_for_distant_ones():
    assert overlap(Box(0, 0, 10, 10), Box(0, 0, 10, 10)) == 1
    assert overlap(Box(0, 0, 10, 10), Box(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap(Box(0, 0, 10, 10), Box(20, 20, 30, 30)) == 0


# Canvas


def test_a_preview_is_rendered_as_large_as_it_is_asked_for():
    assert canvas_for(PREVIEW, MILLION).size == PREVIEW
    assert canvas_for(Size(896, 1152), MILLION).growth == 1


def test_nothing_is_ever_rendered_at_exactly_1024_squared():
    for side in range(256, 4097, 32):
        assert canvas_for(Size(side, side), MILLION).size != Size(1024, 1024)
    assert canvas_for(PREVIEW_SQUARE, MILLION).growth <= 1


def test_a_4k_picture_is_rendered_at_a_million_pixels_and_enlarged_less_than_four_times():
    canvas = canvas_for(Size(3072, 3840), MILLION)

    assert 0.9 < canvas.size.width * canvas.size.height / MILLION < 1.1
    assert 3 < canvas.growth < 4
    assert canvas.size.width % 32 == canvas.size.height % 32 == 0


def test_fitting_covers_the_size_and_cuts_the_overhang_evenly():
    picture = torch.zeros(3, 40, 20)
    picture[:, 15:25] = 1

    fitted = fit(picture, Size(20, 20))

    assert fitted.shape == (3, 20, 20)
    assert fitted[0, :5].max() == 0
    assert fitted[0, 5:15].min() == 1


def test_gray_keeps_the_lightness_of_gray():
    picture = torch.full((3, 4, 4), 0.4)

    torch.testing.assert_close(to_gray(picture), picture)


# Memory


@pytest.mark.parametrize(("gigabytes", "mode"), [(80, "resident"), (24, "resident"), (16, "resident"), (12, "offload")])
def test_the_memory_of_a_gpu_decides_the_mode(gigabytes, mode):
    assert memory_mode(gigabytes * 10**9) is MemoryMode(mode)


def test_too_small_a_gpu_is_refused_with_its_size():
    with pytest.raises(EngineUnavailable, match=r"8\.0 GB"):
        memory_mode(8 * 10**9)


def test_more_free_memory_allows_more_pictures_but_never_none():
    counts = [fitting_batch(free * 10**9, Size(896, 1152), 8) for free in (0, 2, 6, 10, 16, 60)]

    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 8)


def test_batches_are_even_and_hold_everything():
    sizes, waiting = [], 50
    while waiting:
        sizes.append(next_batch(waiting, 8, static=False))
        waiting -= sizes[-1]

    assert sum(sizes) == 50
    assert len(sizes) == 7
    assert max(sizes) - min(sizes) <= 1


def test_compiled_networks_see_full_batches_and_single_pictures_only():
    assert [next_batch(waiting, 8, static=True) for waiting in (50, 8, 6, 5, 4, 1)] == [8, 8, 6, 5, 1, 1]


# Optimizations


def test_every_optimization_is_explained_and_lossy_ones_are_off_by_default():
    assert set(EXPLANATIONS) == set(Optimization)
    for device in ("cpu", "cuda", "cuda:1"):
        assert default_optimizations(device) <= LOSSLESS
    assert Optimization.COMPILE in default_optimizations("cuda")
    assert Optimization.COMPILE not in default_optimizations("cpu")


def test_optimizations_are_added_and_removed_by_name():
    optimizations = change_optimizations(default_optimizations("cuda"), ["+fp8", "-compile"])

    assert Optimization.FP8 in optimizations
    assert Optimization.COMPILE not in optimizations


@pytest.mark.parametrize("change", ["fp8", "+warp_drive", "", "-"])
def test_a_change_that_names_no_optimization_is_refused(change):
    with pytest.raises(ValueError, match="known optimizations"):
        change_optimizations(frozenset(), [change])


def test_a_machine_that_cannot_compile_is_told_what_it_lacks(monkeypatch, tmp_path):
    compiling = frozenset({Optimization.COMPILE})
    monkeypatch.setattr("shutil.which", lambda name: None)

    assert compiler_fault(frozenset()) is None
    assert "this machine lacks a C compiler. Pictures are the same" in compiler_fault(compiling)

    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert compiler_fault(compiling) is None
    assert str(tmp_path / "Python.h") in compiler_fault(compiling, tmp_path / "Python.h")


def test_a_layer_cannot_be_8_bit_in_two_ways():
    with pytest.raises(ValueError, match="choose one"):
        change_optimizations(frozenset(), ["+fp8", "+int8"])


# 8 bit


@pytest.mark.parametrize(("kind", "least"), [(Float8Linear, 0.08), (Int8Linear, 0.03)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_an_8_bit_layer_is_close_to_the_layer_that_it_replaces(kind, least, dtype):
    torch.manual_seed(0)
    linear = torch.nn.Linear(64, 96)
    # Rows of very different size: each has a scale of its own.
    tokens = torch.randn(2, 10, 64) * torch.logspace(-2, 2, 10)[:, None]

    exact, rounded = linear(tokens), kind(linear.to(dtype))(tokens.to(dtype))

    assert rounded.shape == exact.shape
    assert rounded.dtype == dtype
    error = (rounded.float() - exact).norm(dim=-1) / exact.norm(dim=-1)
    assert 0 < error.max() < least


def test_only_what_changes_with_the_picture_is_made_8_bit():
    unet = UNet2DConditionModel.from_pretrained(GOLDEN / "base" / "unet", local_files_only=True)

    swapped = quantize_linears(unet, Int8Linear)

    names = {name.rpartition("transformer_blocks.0.")[2] for name, _ in unet.named_modules() if "transformer" in name}
    eight_bit = {
        name.rpartition("transformer_blocks.0.")[2]
        for name, module in unet.named_modules()
        if isinstance(module, Int8Linear)
    }
    assert swapped > 0
    assert {"attn2.to_k", "attn2.to_v"} <= names
    assert eight_bit == {
        *("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0"),
        *("attn2.to_q", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2"),
    }


def test_a_gpu_that_cannot_do_what_was_asked_is_named():
    assert capability_fault(frozenset({Optimization.FP8}), "H100", (9, 0)) is None
    assert capability_fault(frozenset({Optimization.INT8}), "A100", (8, 0)) is None

    fault = capability_fault(frozenset({Optimization.FP8}), "NVIDIA A100", (8, 0))

    assert "8.9" in fault
    assert "NVIDIA A100 has 8.0" in fault


# The x4 network


def test_the_x4_network_has_the_official_names_and_number_of_weights():
    with torch.device("meta"):
        network = RRDBNet()

    names = [name for name, _ in network.named_parameters()]
    assert sum(weight.numel() for weight in network.parameters()) == 16_697_987
    assert "body.22.rdb3.conv5.weight" in names
    assert {name.split(".")[0] for name in names} == {
        *("conv_first", "body", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
    }


def test_the_upscaler_makes_four_times_the_sides_of_a_loaded_network(tmp_path):
    torch.manual_seed(0)
    save_file(RRDBNet(features=8, growth=4, blocks=2).state_dict(), tmp_path / "x4.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 3), dtype=np.uint8)

    enlarged = TorchUpscaler.load(tmp_path / "x4.safetensors", "cpu").upscale(pixels)

    assert enlarged.shape == (48, 32, 3)
    assert enlarged.dtype == np.uint8


@pytest.mark.parametrize("rows", [1, 5, 16, 17, 100])
def test_in_strips_the_network_makes_the_same_picture(rows):
    torch.manual_seed(0)
    network = RRDBNet(features=8, growth=4, blocks=1).eval()
    picture = torch.rand(1, 3, 17, 12)

    with torch.inference_mode():
        torch.testing.assert_close(network(picture, rows), network(picture), rtol=0, atol=1e-6)


def test_a_file_that_holds_another_network_is_no_upscaler(tmp_path):
    save_file({"conv_first.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "x4.safetensors")
    with pytest.raises(WeightsError, match="x4"):
        load_rrdbnet(tmp_path / "x4.safetensors")

    torch.manual_seed(0)
    whole = RRDBNet(features=8, growth=4, blocks=2)
    save_file(whole.state_dict(), tmp_path / "x4.safetensors")
    tensors = load_file(tmp_path / "x4.safetensors")
    tensors.pop("body.1.rdb2.conv3.bias")
    save_file(tensors, tmp_path / "x4.safetensors")
    with pytest.raises(WeightsError, match="x4"):
        load_rrdbnet(tmp_path / "x4.safetensors")
