"""SDXL from one checkpoint file, as it is shared, is SDXL from a folder."""

import shutil
from dataclasses import replace

import pytest

from tests.helpers.torch_needed import require_torch

require_torch()

import torch

from pipeline.engines.instantid.config import WeightFiles
from pipeline.engines.instantid.networks.load import load_base
from pipeline.engines.instantid.networks.random_weights import TINY, build_text_encoders, build_unet, build_vae
from pipeline.errors import WeightsError
from tests.pipeline.engines.instantid.single_file import write_single_file
from tests.pipeline.engines.instantid.tiny_instantid import GOLDEN

# diffusers tells the two text encoders of a checkpoint apart by their width.
ARCHITECTURE = replace(TINY, text=((16, 3, 2), (32, 3, 2)))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder in diffusers' layout with random weights."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    build_unet(ARCHITECTURE).save_pretrained(folder / "unet")
    build_vae(ARCHITECTURE).save_pretrained(folder / "vae")
    for name, encoder in zip(("text_encoder", "text_encoder_2"), build_text_encoders(ARCHITECTURE), strict=True):
        encoder.save_pretrained(folder / name)
    for name in ("tokenizer", "tokenizer_2", "scheduler"):
        shutil.copytree(GOLDEN / "base" / name, folder / name)
    shutil.copy(GOLDEN / "base" / "model_index.json", folder)
    return folder


@pytest.fixture(scope="module")
def configs(base, tmp_path_factory):
    """The small files of the folder alone: what has to be there beside a checkpoint."""
    folder = tmp_path_factory.mktemp("configs") / "sdxl"
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


def test_one_file_gives_the_same_weights_as_the_folder(base, configs, tmp_path):
    write_single_file(base, tmp_path / "sdxl.safetensors")
    files = WeightFiles(base, base, base, base)

    unet, vae, encoders, tokenizers, scheduler = load_base(
        replace(files, base=tmp_path / "sdxl.safetensors", base_configs=configs), torch.float32
    )

    right_unet, right_vae, right_encoders, right_tokenizers, right_scheduler = load_base(files, torch.float32)
    for network, right in zip((unet, vae, *encoders), (right_unet, right_vae, *right_encoders), strict=True):
        tensors, expected = dict(network.named_parameters()), dict(right.named_parameters())
        assert tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    text = "a woman in her forties"
    assert [each(text).input_ids for each in tokenizers] == [each(text).input_ids for each in right_tokenizers]
    assert {**right_scheduler, **scheduler} == {**scheduler, **right_scheduler}


def test_one_file_without_configs_is_refused_before_anything_reaches_for_the_hub(base, tmp_path):
    write_single_file(base, tmp_path / "sdxl.safetensors")
    files = WeightFiles(tmp_path / "sdxl.safetensors", base, base, base)

    with pytest.raises(WeightsError, match="configs and tokenizers"):
        load_base(files, torch.float32)
    with pytest.raises(WeightsError, match="configs and tokenizers"):
        load_base(replace(files, base_configs=tmp_path), torch.float32)


def test_a_truncated_file_is_refused(base, configs, tmp_path):
    write_single_file(base, tmp_path / "sdxl.safetensors")
    whole = (tmp_path / "sdxl.safetensors").read_bytes()
    (tmp_path / "sdxl.safetensors").write_bytes(whole[:-5000])

    with pytest.raises(WeightsError, match=r"sdxl\.safetensors"):
        load_base(WeightFiles(tmp_path / "sdxl.safetensors", base, base, base, base_configs=configs), torch.float32)
