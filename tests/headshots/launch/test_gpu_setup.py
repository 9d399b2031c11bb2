"""torch is installed where that costs no gigabytes, and the InstantID engine only where there is a GPU."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from headshots.launch import CannotRun, gpu
from tests.helpers import torch_needed

ROOT = Path(__file__).resolve().parents[3]


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


def write_tool(folder: Path, prints: str, status: int) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho '{prints}'\nexit {status}\n")
    tool.chmod(0o755)


@pytest.mark.parametrize(
    ("prints", "status", "reason"),
    [
        ("NVIDIA-SMI has failed because it could not communicate with the driver", 9, "could not communicate"),
        ("No devices were found", 0, "No devices were found"),
    ],
)
def test_a_driver_that_sees_no_gpu_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prints: str, status: int, reason: str
) -> None:
    write_tool(tmp_path, prints, status)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(CannotRun, match=reason):
        gpu.require_gpu()


def test_a_listed_gpu_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tool(tmp_path, "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)", 0)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    gpu.require_gpu()


def test_run_py_refuses_instantid_without_a_gpu_before_it_installs_anything(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    words = [sys.executable, str(ROOT / "run.py"), "--engine", "instantid", "--data", str(tmp_path / "data")]

    refused = subprocess.run(words, env={"PATH": str(tmp_path / "bin")}, capture_output=True, text=True, check=False)

    assert refused.returncode == 1
    assert refused.stderr == (
        "run.py: the InstantID engine needs an NVIDIA GPU and its driver, but this machine has no nvidia-smi\n"
    )
    assert not (tmp_path / "data").exists()


def test_a_skip_of_what_needs_torch_is_a_failure_where_nothing_may_be_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADSHOTS_REQUIRE_TORCH", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs a_package_that_nobody_has; enable with: "):
        torch_needed.require("a_package_that_nobody_has")

    monkeypatch.setenv("HEADSHOTS_REQUIRE_TORCH", "1")

    with pytest.raises(pytest.fail.Exception, match="needs a_package_that_nobody_has"):
        torch_needed.require("a_package_that_nobody_has")
