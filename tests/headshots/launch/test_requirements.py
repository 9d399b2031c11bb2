"""A machine that cannot run the InstantID engine is told so, with the reason, before anything is downloaded."""

import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from headshots.launch import CannotRun, gpu, requirements
from pipeline.weights import CATALOG, DEFAULT_DIR

ROOT = Path(__file__).resolve().parents[3]
L4 = "NVIDIA L4, 580.65.06, 8.9, 23034, GPU-4a1c"
T400 = "NVIDIA T400 4GB, 580.65.06, 7.5, 4096, GPU-77f0"
V100 = "Tesla V100-SXM2-16GB, 580.65.06, 7.0, 16384, GPU-b003"
OTHER_BUILD = "set HEADSHOTS_TORCH_INDEX to a package index with a build for an older CUDA, such as PyTorch's for 12.6"
DiskUsage = namedtuple("DiskUsage", "free")


def write_nvidia_smi(folder: Path, *lines: str, status: int = 0) -> Path:
    """Write a program that answers like nvidia-smi, into a folder of its own."""
    folder.mkdir(exist_ok=True)
    tool = folder / "nvidia-smi"
    printed = "\n".join(f"echo '{line}'" for line in lines)
    tool.write_text(f"#!/bin/sh\n[ $# = 2 ] || exit 64\n{printed}\nexit {status}\n")
    tool.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone: what run.py needs until it installs something."""
    folder = tmp_path_factory.mktemp("clone") / "checkout"
    (folder / "headshots").mkdir(parents=True)
    shutil.copy(ROOT / "run.py", folder)
    shutil.copy(ROOT / "headshots" / "__init__.py", folder / "headshots")
    shutil.copytree(ROOT / "headshots" / "launch", folder / "headshots" / "launch")
    return folder


def refusal(checkout: Path, tools: Path, **variables: str) -> str:
    """Start InstantID in a fresh clone, and return what was said. Nothing may have been installed or downloaded."""
    words = [sys.executable, str(checkout / "run.py"), "--engine", "instantid", "--data", str(checkout / "data")]
    home = checkout.parent / "home"

    refused = subprocess.run(
        words, env={"PATH": str(tools), "HOME": str(home), **variables}, capture_output=True, text=True, check=False
    )

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert not (checkout / ".venv").exists()
    assert not (checkout / "data").exists()
    assert not home.exists()
    return refused.stderr


def test_without_nvidia_smi_it_is_refused(checkout: Path, tmp_path: Path) -> None:
    assert refusal(checkout, tmp_path / "nothing") == (
        "run.py: the InstantID engine needs an NVIDIA GPU and its driver, but this machine has no nvidia-smi\n"
    )


@pytest.mark.parametrize(
    ("lines", "status", "quoted"),
    [
        (
            ["NVIDIA-SMI has failed because it could not communicate with the driver."],
            9,
            "NVIDIA-SMI has fai",
        ),
        (["No devices were found"], 0, "No devices were found"),
        (['Field "compute_cap" is not a valid field to query.', ""], 2, 'Field "compute_cap" is not a valid field'),
        (["NVIDIA L4, 580.65.06, 8.9"], 0, "NVIDIA L4, 580.65.06, 8.9"),
        (["NVIDIA L4, many, 8.9, 23034, GPU-4a1c"], 0, "NVIDIA L4, many"),
        ([], 0, "nothing"),
    ],
)
def test_an_answer_that_describes_no_gpu_is_quoted(
    checkout: Path, tmp_path: Path, lines: list[str], status: int, quoted: str
) -> None:
    said = refusal(checkout, write_nvidia_smi(tmp_path / "bin", *lines, status=status))

    assert said.startswith(
        "run.py: the InstantID engine needs an NVIDIA GPU with driver 580 or newer, but nvidia-smi describes none "
        f"(its output: {quoted}"
    )
    assert said.count("\n") == 1


def test_an_old_driver_is_refused_with_the_version_that_is_needed(checkout: Path, tmp_path: Path) -> None:
    tools = write_nvidia_smi(tmp_path / "bin", L4.replace("580.65.06", "550.163.01"))

    assert refusal(checkout, tools) == (
        "run.py: the NVIDIA driver 550.163.01 is too old, because torch==2.13.0 needs 580 or newer (CUDA 13). "
        f"Update the driver, or {OTHER_BUILD}\n"
    )


def test_an_old_card_is_refused_with_its_compute_capability(checkout: Path, tmp_path: Path) -> None:
    assert refusal(checkout, write_nvidia_smi(tmp_path / "bin", V100)) == (
        "run.py: the Tesla V100-SXM2-16GB is too old: its compute capability is 7.0, but torch==2.13.0 needs 7.5 or "
        f"newer. Use a newer GPU, or {OTHER_BUILD}\n"
    )


def test_a_small_card_is_refused_with_its_memory_whatever_the_build(checkout: Path, tmp_path: Path) -> None:
    tools = write_nvidia_smi(tmp_path / "bin", T400)

    for index in ("", "https://index.example.org/older"):
        assert refusal(checkout, tools, HEADSHOTS_TORCH_INDEX=index) == (
            "run.py: the NVIDIA T400 4GB has 4.3 GB of memory, but the InstantID engine needs 12 GB\n"
        )


def test_a_card_that_does_not_fit_beside_one_that_does_is_refused_with_the_way_out(
    checkout: Path, tmp_path: Path
) -> None:
    said = refusal(checkout, write_nvidia_smi(tmp_path / "bin", T400, L4))

    assert "has 4.3 GB of memory" in said
    assert said.endswith(". HEADSHOTS_INSTANTID_DEVICE can select cuda:1 (NVIDIA L4) instead\n")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"HEADSHOTS_INSTANTID_DEVICE": "cuda:2"},
            "there is no GPU cuda:2: nvidia-smi lists 2, numbered from cuda:0. Set HEADSHOTS_INSTANTID_DEVICE",
        ),
        (
            {"HEADSHOTS_INSTANTID_DEVICE": "gpu1"},
            "HEADSHOTS_INSTANTID_DEVICE is 'gpu1', but must be cuda, cuda:N or cpu",
        ),
        (
            {"CUDA_VISIBLE_DEVICES": ""},
            "CUDA_VISIBLE_DEVICES hides every GPU from the InstantID engine (its value: '')",
        ),
    ],
)
def test_a_setting_that_names_no_gpu_is_refused(
    checkout: Path, tmp_path: Path, variables: dict[str, str], message: str
) -> None:
    said = refusal(checkout, write_nvidia_smi(tmp_path / "bin", L4, L4), **variables)

    assert said == f"run.py: {message}\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with one L4, a compiler, enough memory and disk space, and nothing installed. Returns its tools."""
    tools = write_nvidia_smi(tmp_path / "bin", L4)
    (tools / "gcc").symlink_to("/bin/sh")
    for name in ("HEADSHOTS_INSTANTID_DEVICE", "HEADSHOTS_INSTANTID_OPTIMIZATIONS", "HEADSHOTS_TORCH_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("HEADSHOTS_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setattr(requirements, "VENV", tmp_path / "checkout" / ".venv")
    monkeypatch.setattr(gpu, "STATE_FILE", tmp_path / "stamp.json")
    monkeypatch.setattr(requirements, "memory_bytes", lambda: 16 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: DiskUsage(40 * 10**9))
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "Python.h").touch()
    monkeypatch.setattr(requirements.sysconfig, "get_path", lambda name: str(tmp_path / name))
    return tools


def test_a_machine_that_fits_is_told_which_gpu_is_used(
    machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))

    requirements.require_machine()

    assert capsys.readouterr().err == (
        "The InstantID engine will use cuda:0 (NVIDIA L4, 24.2 GB, compute capability 8.9, driver 580.65.06)\n"
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_of_several_gpus_the_one_in_use_is_named_and_how_to_choose_another(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nvidia_smi(machine, T400, L4, L4.replace("L4", "L40S").replace("4a1c", "90ee"))
    monkeypatch.setenv("HEADSHOTS_INSTANTID_DEVICE", "cuda:1")

    requirements.require_machine()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-90ee,1")
    requirements.require_machine()

    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "The InstantID engine will use cuda:1 (NVIDIA L4, 24.2 GB, compute capability 8.9, driver 580.65.06), "
        "one of 3 GPUs. HEADSHOTS_INSTANTID_DEVICE selects another one"
    )
    assert "cuda:1 (NVIDIA L4," in second
    assert "one of 2 GPUs" in second


def test_without_a_compiler_or_headers_it_goes_on_with_a_warning(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine / "gcc").unlink()
    header = tmp_path / "include" / "Python.h"
    header.unlink()

    requirements.require_machine()

    assert capsys.readouterr().err.splitlines()[1] == (
        "Warning: the networks will not be compiled, because this machine lacks a C compiler and Python's headers "
        f"({header}). Pictures will be the same, but take longer. To compile, install gcc and python3-dev"
    )

    monkeypatch.setenv("HEADSHOTS_INSTANTID_OPTIMIZATIONS", "+fp8,-compile")
    assert requirements.compiler_warning() == ""


def test_an_index_of_its_own_leaves_driver_and_card_to_that_build_of_torch(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nvidia_smi(machine, V100.replace("580.65.06", "535.54.03"))
    monkeypatch.setenv("HEADSHOTS_TORCH_INDEX", "https://index.example.org/older")

    requirements.require_machine()

    assert "Tesla V100" in capsys.readouterr().err


def test_what_nvidia_smi_does_not_know_is_left_to_torch(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nvidia_smi(machine, "NVIDIA GB10, 580.95.05, 12.1, [N/A], GPU-1")

    requirements.require_machine()

    assert "NVIDIA GB10, unknown memory, compute capability 12.1" in capsys.readouterr().err


def test_little_main_memory_is_refused_with_the_number_needed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "memory_bytes", lambda: 8_200_000_000)

    with pytest.raises(CannotRun, match=r"needs 16 GB of main memory, but this machine has 8\.2 GB$"):
        requirements.require_machine()


def test_little_disk_space_is_refused_with_what_is_still_needed(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: DiskUsage(10_100_000_000))

    with pytest.raises(CannotRun, match=r"needs 23\.0 GB of free disk space .* the disk of .* has 10\.1 GB$"):
        requirements.require_machine()

    (tmp_path / "weights").mkdir()
    with (tmp_path / "weights" / "base.safetensors").open("wb") as file:
        # A file with a hole of this size takes no space.
        file.truncate(6_900_000_000)
    gpu.write_state("ready")
    requirements.require_machine()


def test_the_operator_is_told_which_gpu_would_be_used_and_why_it_cannot(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert requirements.describe_gpu() == "cuda:0 (NVIDIA L4, 24.2 GB, compute capability 8.9, driver 580.65.06)"

    write_nvidia_smi(machine, V100)
    assert requirements.describe_gpu().startswith("cuda:0 (Tesla V100-SXM2-16GB, 17.2 GB, compute capability 7.0")
    assert "): the Tesla V100-SXM2-16GB is too old" in requirements.describe_gpu()

    (machine / "nvidia-smi").unlink()
    assert (
        requirements.describe_gpu()
        == f"none: {requirements.NEEDS_GPU} and its driver, but this machine has no nvidia-smi"
    )

    monkeypatch.setenv("HEADSHOTS_INSTANTID_DEVICE", "cpu")
    assert requirements.describe_gpu() == "not used, because HEADSHOTS_INSTANTID_DEVICE is cpu"


def test_on_the_cpu_nothing_is_asked_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HEADSHOTS_INSTANTID_DEVICE", "cpu")

    requirements.require_machine()

    assert "will run on the CPU" in capsys.readouterr().err


def test_sizes_and_folder_are_those_of_the_models() -> None:
    files = [file for name in CATALOG.groups["instantid"] for file in CATALOG.weights[name].files]
    # The catalog does not know the size of the VAE (0.33 GB) and of small configuration files.
    stored = sum(file.bytes or 0 for file in files) + 0.34e9

    assert stored == pytest.approx(requirements.WEIGHTS_BYTES, rel=0.01)
    assert requirements.WEIGHTS_FOLDER == DEFAULT_DIR
    assert requirements.memory_bytes() > 10**9
