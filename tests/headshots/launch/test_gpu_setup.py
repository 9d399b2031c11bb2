"""torch is installed where that costs no gigabytes, and in the build that the machine needs."""

import os
import sys
import zipfile
from pathlib import Path

import pytest

from headshots.launch import CannotRun, gpu
from tests.helpers import torch_needed


def write_torch(folder: Path, version: str, *needed: str) -> None:
    """A wheel of torch that holds nothing but what it says of itself."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as wheel:
        lines = [
            "Metadata-Version: 2.1",
            "Name: torch",
            f"Version: {version}",
            *(f"Requires-Dist: {n}" for n in needed),
        ]
        wheel.writestr(f"torch-{version}.dist-info/METADATA", "\n".join(lines) + "\n")
        wheel.writestr(f"torch-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"torch-{version}.dist-info/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that is a folder, and a set-up that nobody made yet."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(gpu, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(gpu, "STATE_FILE", tmp_path / "stamp.json")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.delenv("HEADSHOTS_REQUIRE_TORCH", raising=False)
    monkeypatch.delenv("HEADSHOTS_TORCH_INDEX", raising=False)
    return tmp_path / "index"


@pytest.mark.parametrize(
    ("version", "needed", "small"),
    [
        ("2.13.0+cpu", [], True),
        ("2.13.0", ["sympy", "networkx"], True),
        ("2.13.0", ["sympy", "nvidia-cudnn-cu13==9.20.0.48; platform_system == 'Linux'"], False),
        ("2.12.0", [], False),
    ],
)
def test_pip_is_asked_which_build_of_torch_it_would_take(
    index: Path, version: str, needed: list[str], small: bool
) -> None:
    write_torch(index, version, *needed)

    assert gpu.is_torch_build_small() is small


def test_without_a_way_to_an_index_torch_is_not_called_small(index: Path) -> None:
    assert gpu.is_torch_build_small() is False


def test_a_mac_has_no_cuda_to_bring(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert gpu.is_torch_build_small() is True


def test_what_would_cost_gigabytes_is_skipped_with_reason_and_command_and_said_once(
    index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_torch(index, "2.13.0", "nvidia-cudnn-cu13==9.20.0.48")

    gpu.set_up_gpu_for_tests()
    first = capsys.readouterr().err
    gpu.set_up_gpu_for_tests()

    assert "would download gigabytes of CUDA" in first
    assert gpu.COMMAND in first
    assert capsys.readouterr().err == ""


def test_another_lock_is_looked_at_again(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu.write_state("ready")
    assert gpu.read_state() == "ready"

    monkeypatch.setattr(gpu, "TORCH", "torch==2.14.0")

    assert gpu.read_state() == ""


def test_torch_comes_from_the_index_that_is_set_and_is_replaced_when_another_is_set(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(gpu, "pip_install", lambda *arguments, total: asked.append(arguments))
    monkeypatch.setattr(gpu, "install_lock", lambda lock: None)

    for address in ("", "https://index.example.org/older", "https://index.example.org/older", ""):
        monkeypatch.setenv("HEADSHOTS_TORCH_INDEX", address)
        gpu.set_up_gpu()

    assert asked == [
        (gpu.TORCH,),
        (gpu.TORCH, "--index-url", "https://index.example.org/older", "--force-reinstall"),
        (gpu.TORCH, "--force-reinstall"),
    ]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "UserWarning: old card\nThe Tesla V100 has compute capability 7.0.",
            "The Tesla V100 has compute capability 7.0",
        ),
        ("", "torch cannot be loaded"),
    ],
)
def test_a_build_of_torch_that_cannot_use_the_gpu_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, reason: str
) -> None:
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\n[ \"$*\" = '-P -m pipeline.diffusion.device cuda:1' ] && echo '{said}' >&2\nexit 1\n"
    )
    python.chmod(0o755)
    monkeypatch.setattr(gpu, "PYTHON", python)
    monkeypatch.setenv("HEADSHOTS_INSTANTID_DEVICE", "cuda:1")

    with pytest.raises(CannotRun) as refused:
        gpu.check_torch()

    assert str(refused.value) == reason


def test_a_skip_of_what_needs_torch_is_a_failure_where_nothing_may_be_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADSHOTS_REQUIRE_TORCH", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs a_package_that_nobody_has; enable with: "):
        torch_needed.require("a_package_that_nobody_has")

    monkeypatch.setenv("HEADSHOTS_REQUIRE_TORCH", "1")

    with pytest.raises(pytest.fail.Exception, match="needs a_package_that_nobody_has"):
        torch_needed.require("a_package_that_nobody_has")
