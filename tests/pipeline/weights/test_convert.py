"""Pickles of every format that torch ever wrote become the same safetensors, and none of them runs code."""

import pytest

from tests.helpers.torch_needed import require

require("torch", "safetensors")

import torch
from safetensors.torch import load_file

from pipeline.errors import WeightsError
from pipeline.weights.convert import convert_adapter, convert_upscaler

TENSORS = {
    "image_proj": {"latents": torch.arange(6.0).reshape(1, 2, 3)},
    "ip_adapter": {"1.to_k_ip.weight": torch.eye(2)},
}


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip archive", "before torch 1.6"])
def test_an_adapter_of_either_format_is_converted(tmp_path, is_zip):
    torch.save(TENSORS, tmp_path / "adapter.bin", _use_new_zipfile_serialization=is_zip)

    convert_adapter(tmp_path / "adapter.bin", tmp_path / "adapter.safetensors")

    tensors = load_file(tmp_path / "adapter.safetensors")
    assert set(tensors) == {"image_proj.latents", "ip_adapter.1.to_k_ip.weight"}
    assert torch.equal(tensors["image_proj.latents"], TENSORS["image_proj"]["latents"])
    assert not (tmp_path / "adapter.safetensors.part").exists()


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip archive", "before torch 1.6"])
def test_an_upscaler_of_either_format_is_converted(tmp_path, is_zip):
    parts = {"params_ema": {"conv_first.weight": torch.ones(2, 3)}, "params": {}}
    torch.save(parts, tmp_path / "x4.pth", _use_new_zipfile_serialization=is_zip)

    convert_upscaler(tmp_path / "x4.pth", tmp_path / "x4.safetensors")

    assert torch.equal(load_file(tmp_path / "x4.safetensors")["conv_first.weight"], torch.ones(2, 3))


def test_tensors_that_are_parts_of_one_storage_are_stored_apart(tmp_path):
    whole = torch.arange(8.0)
    parts = {"image_proj": {"a": whole[:4], "b": whole[4:]}, "ip_adapter": {"c": torch.eye(3).T}}
    torch.save(parts, tmp_path / "adapter.bin")

    convert_adapter(tmp_path / "adapter.bin", tmp_path / "adapter.safetensors")

    assert torch.equal(load_file(tmp_path / "adapter.safetensors")["image_proj.b"], whole[4:])


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip archive", "before torch 1.6"])
def test_half_a_file_of_either_format_is_refused(tmp_path, is_zip):
    torch.save(TENSORS, tmp_path / "adapter.bin", _use_new_zipfile_serialization=is_zip)
    content = (tmp_path / "adapter.bin").read_bytes()
    (tmp_path / "adapter.bin").write_bytes(content[: len(content) // 2])

    with pytest.raises(WeightsError, match="cannot be read"):
        convert_adapter(tmp_path / "adapter.bin", tmp_path / "adapter.safetensors")


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip archive", "before torch 1.6"])
def test_code_in_a_pickle_of_either_format_does_not_run(tmp_path, is_zip):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"image_proj": {}, "ip_adapter": Evil()}, tmp_path / "bin", _use_new_zipfile_serialization=is_zip)

    with pytest.raises(WeightsError, match="cannot be read"):
        convert_adapter(tmp_path / "bin", tmp_path / "adapter.safetensors")

    assert not (tmp_path / "ran").exists()


def test_a_part_that_holds_no_tensors_is_refused(tmp_path):
    torch.save({"image_proj": {"latents": 3}, "ip_adapter": {}}, tmp_path / "adapter.bin")

    with pytest.raises(WeightsError, match=r"unexpected content: image_proj\.latents is not a tensor"):
        convert_adapter(tmp_path / "adapter.bin", tmp_path / "adapter.safetensors")
