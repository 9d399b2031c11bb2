"""The networks at their real size: random weights in the real files' layout are loaded, and compute one step."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers.torch_needed import require_torch

require_torch()

import torch

from pipeline.engines.instantid.networks.random_weights import SDXL, build_parts
from tests.pipeline.engines.instantid.full_size import adapter, checkpoint, measure
from tests.pipeline.engines.instantid.test_single_file import ARCHITECTURE

CHECKPOINT_BYTES, ADAPTER_BYTES, CONTROLNET_BYTES = 6_938_065_488, 1_691_134_141, 2_502_139_136
DISK_BYTES, MEMORY_BYTES = 14e9, 12e9


def test_the_layout_has_the_tensors_and_the_size_of_the_real_files():
    parts = build_parts(SDXL, "meta", torch.float16)
    tensors, groups = checkpoint(parts), adapter(parts)

    def size(tensors: dict[str, torch.Tensor]) -> int:
        return sum(each.numel() * each.element_size() for each in tensors.values())

    assert len(tensors) == 2515
    assert len(groups["ip_adapter"]) == 140
    # Without the headers, which are a few hundred KB.
    assert size(tensors) == pytest.approx(CHECKPOINT_BYTES, rel=0.001)
    assert sum(map(size, groups.values())) == pytest.approx(ADAPTER_BYTES, rel=0.001)
    assert size(parts.controlnet.state_dict()) == pytest.approx(CONTROLNET_BYTES, rel=0.001)


def test_the_same_files_at_tiny_size_are_loaded_in_half_precision_and_compute_a_finite_step(tmp_path):
    found = measure(tmp_path, ARCHITECTURE)

    assert found["precisions"] == ["torch.float16"]
    assert found["shape"] == [1, 4, 80, 64]
    assert found["finite"]
    assert found["change"] > 0.01


def test_files_of_full_size_are_loaded_in_half_precision_and_compute_a_finite_step(tmp_path):
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    if shutil.disk_usage(tmp_path).free < DISK_BYTES or free < MEMORY_BYTES:
        pytest.skip(f"needs {DISK_BYTES / 1e9:.0f} GB of disk and {MEMORY_BYTES / 1e9:.0f} GB of free memory")
    folder = tmp_path / "weights"
    folder.mkdir()
    try:
        # In a process of its own, to measure its memory.
        ran = subprocess.run(
            [sys.executable, "-m", "tests.pipeline.engines.instantid.full_size", str(folder)],
            capture_output=True,
            text=True,
        )
    finally:
        shutil.rmtree(folder)

    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    print(json.dumps(found, indent=2))
    assert (found["checkpoint_tensors"], found["adapter_tensors"]) == (2515, 140)
    assert found["checkpoint_bytes"] == pytest.approx(CHECKPOINT_BYTES, rel=0.001)
    assert found["adapter_bytes"] == pytest.approx(ADAPTER_BYTES, rel=0.001)
    assert found["controlnet_bytes"] == pytest.approx(CONTROLNET_BYTES, rel=0.001)
    assert found["precisions"] == ["torch.float16"]
    assert found["shape"] == [1, 4, 80, 64]
    assert found["finite"]
    assert found["change"] > 0.01
    assert found["step"]["peak_gigabytes"] < MEMORY_BYTES / 1e9
