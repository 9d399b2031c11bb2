"""A GPU that this build of torch cannot use is refused with the real reason, before its first kernel fails."""

import runpy
from types import SimpleNamespace

import pytest

from tests.helpers.torch_needed import require_torch

require_torch()

import torch

from headshots.launch import requirements
from pipeline.diffusion.device import choose_mode, has_kernels
from pipeline.diffusion.memory import OFFLOAD_MIN_BYTES, MemoryMode
from pipeline.errors import EngineUnavailable

# Of PyTorch's builds for CUDA 12.6 and 13.0.
OLDER = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
NEWER = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]


@pytest.mark.parametrize(
    ("capability", "in_older", "in_newer"),
    [
        ((6, 1), True, False),  # P40
        ((7, 0), True, False),  # V100
        ((7, 5), True, True),  # T4
        ((8, 9), True, True),  # L4
        ((9, 0), True, True),  # H100
        ((10, 0), False, True),  # B200
        ((12, 1), False, True),  # GB10
        ((13, 0), False, True),  # translated from compute_120
    ],
)
def test_a_build_runs_on_the_generations_that_it_was_built_for(
    capability: tuple[int, int], in_older: bool, in_newer: bool
) -> None:
    assert has_kernels(capability, OLDER) is in_older
    assert has_kernels(capability, NEWER) is in_newer


def test_machine_code_runs_on_no_earlier_gpu_and_a_build_without_a_list_is_trusted() -> None:
    assert not has_kernels((8, 0), ["sm_86"])
    assert not has_kernels((8, 9), ["compute_90"])
    assert has_kernels((9, 0), ["sm_90a"])
    assert has_kernels((9, 0), [])


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A card that torch sees; a test may change it."""
    card = SimpleNamespace(name="Tesla V100", major=7, minor=0, total_memory=16 * 10**9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: NEWER)
    return card


def test_a_card_without_kernels_is_refused_with_the_list_and_the_way_out(card: SimpleNamespace) -> None:
    with pytest.raises(EngineUnavailable) as refused:
        choose_mode("cuda")

    assert str(refused.value) == (
        f"The Tesla V100 has compute capability 7.0, but torch {torch.__version__} is built for sm_75, sm_80, sm_86, "
        "sm_90, sm_100, sm_120, compute_120 only. Fix: use a newer GPU, or set HEADSHOTS_TORCH_INDEX to a package "
        "index with a build for this machine, and run `python3 run.py --engine instantid`."
    )


def test_memory_and_number_of_a_card_are_checked(card: SimpleNamespace) -> None:
    card.major = 8
    assert choose_mode("cuda:0") is MemoryMode.RESIDENT

    with pytest.raises(EngineUnavailable, match="no GPU cuda:1: torch finds 1"):
        choose_mode("cuda:1")

    card.total_memory = 8 * 10**9
    with pytest.raises(EngineUnavailable, match=r"8\.0 GB of memory"):
        choose_mode("cuda")


@pytest.mark.parametrize(
    ("cuda", "error", "message"),
    [
        (
            None,
            AssertionError("Torch not compiled with CUDA enabled"),
            "is built without CUDA. Fix: set HEADSHOTS_TORCH_IN",
        ),
        (
            "13.0",
            RuntimeError(
                "The NVIDIA driver on your system is too old (found version 12040). Please update\nyour driver."
            ),
            "(CUDA 13.0) cannot use one: The NVIDIA driver on your system is too old (found version 12040). "
            "Fix: update the NVIDIA driver, or set HEADSHOTS_TORCH_INDEX",
        ),
        (
            "13.0",
            RuntimeError("No CUDA GPUs are available"),
            "cannot use one: No CUDA GPUs are available. Fix: check the output of nvidia-smi, or set HEADSHOTS_",
        ),
    ],
)
def test_without_cuda_the_reason_is_torchs_own(
    monkeypatch: pytest.MonkeyPatch, cuda: str | None, error: Exception, message: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "init", fail)

    with pytest.raises(EngineUnavailable) as refused:
        choose_mode("cuda")

    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_run_py_gets_the_reason_as_an_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["device.py", "cuda"])
    monkeypatch.delitem(__import__("sys").modules, "pipeline.diffusion.device")

    with pytest.raises(SystemExit, match="needs an NVIDIA GPU, but torch"):
        runpy.run_module("pipeline.diffusion.device", run_name="__main__")

    monkeypatch.setattr("sys.argv", ["device.py", "cpu"])
    runpy.run_module("pipeline.diffusion.device", run_name="__main__")


def test_run_py_asks_for_the_memory_that_the_engine_needs() -> None:
    assert requirements.MIN_GPU_BYTES == OFFLOAD_MIN_BYTES
