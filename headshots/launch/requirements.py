"""Check that this machine can run the InstantID engine, before anything is downloaded for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from headshots.launch import VENV, CannotRun, echo
from headshots.launch.gpu import TORCH, instantid_device, read_state, torch_index

# Needed by torch's build on PyPI, which is made for CUDA 13. Builds on other indexes can need less.
MIN_DRIVER = 580
MIN_CAPABILITY = (7, 5)
# The same as OFFLOAD_MIN_BYTES in pipeline/diffusion/memory.py. A 12 GB card reports at least this much.
MIN_GPU_BYTES = int(11.5e9)
# A machine with 16 GB reports at least this much.
MIN_MEMORY_BYTES = int(15e9)
# torch and its CUDA libraries are 2.7 GB to download and 4.8 GB installed. The other packages take about 1 GB.
PACKAGES_BYTES = int(9e9)
WEIGHTS_BYTES = int(11.8e9)
# A second copy of the adapter while it is converted.
CONVERSION_BYTES = int(2.2e9)
# The default of pipeline/weights/folder.py.
WEIGHTS_FOLDER = Path.home() / ".cache" / "headshots" / "weights"
FIELDS = ("name", "driver_version", "compute_cap", "memory.total", "uuid")
MAX_ANSWER_SECONDS = 30
NEEDS_GPU = "the InstantID engine needs an NVIDIA GPU"
OTHER_BUILD = "set HEADSHOTS_TORCH_INDEX to a package index with a build for an older CUDA, such as PyTorch's for 12.6"


@dataclass(frozen=True)
class Gpu:
    """A GPU that nvidia-smi lists.

    index: its number there. capability, memory_bytes: None if nvidia-smi does not know them."""

    index: int
    name: str
    driver: str
    capability: tuple[int, int] | None
    memory_bytes: int | None
    uuid: str

    def __str__(self) -> str:
        memory = "unknown memory" if self.memory_bytes is None else f"{self.memory_bytes / 1e9:.1f} GB"
        capability = "unknown" if self.capability is None else version(self.capability)
        return f"{self.name}, {memory}, compute capability {capability}, driver {self.driver}"


def require_machine() -> None:
    """Check GPU, driver, main memory, disk space and compiler, unless the engine is set to use the CPU.

    Prints which GPU is used, and a warning if the networks cannot be compiled. Raises CannotRun."""
    if instantid_device() == "cpu":
        echo("The InstantID engine will run on the CPU, as configured. Each picture will take many minutes.")
        return
    gpus = visible_gpus(list_gpus())
    number = device_number(len(gpus))
    if fault := gpu_fault(gpus[number]):
        fitting = [f"cuda:{each} ({gpu.name})" for each, gpu in enumerate(gpus) if not gpu_fault(gpu)]
        other = f". HEADSHOTS_INSTANTID_DEVICE can select {' or '.join(fitting)} instead" if fitting else ""
        raise CannotRun(fault + other)
    if fault := memory_fault() or disk_fault():
        raise CannotRun(fault)
    echo(f"The InstantID engine will use {describe_choice(gpus, number)}")
    if warning := compiler_warning():
        echo(f"Warning: {warning}")


def describe_gpu() -> str:
    """Describe the GPU that the InstantID engine would use, and why it cannot, for the operator."""
    if instantid_device() == "cpu":
        return "not used, because HEADSHOTS_INSTANTID_DEVICE is cpu"
    try:
        gpus = visible_gpus(list_gpus())
        number = device_number(len(gpus))
    except CannotRun as error:
        return f"none: {error}"
    fault = gpu_fault(gpus[number])
    return f"{describe_choice(gpus, number)}{f': {fault}' if fault else ''}"


def describe_choice(gpus: list[Gpu], number: int) -> str:
    if len(gpus) == 1:
        return f"cuda:0 ({gpus[0]})"
    return f"cuda:{number} ({gpus[number]}), one of {len(gpus)} GPUs. HEADSHOTS_INSTANTID_DEVICE selects another one"


def list_gpus() -> list[Gpu]:
    """Return the GPUs that nvidia-smi lists, in its order. Raises CannotRun if it lists none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        raise CannotRun(f"{NEEDS_GPU} and its driver, but this machine has no nvidia-smi")
    command = [tool, f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=MAX_ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"{NEEDS_GPU}, but nvidia-smi does not answer ({error})") from error
    output = (answer.stdout + answer.stderr).strip().splitlines() or ["nothing"]
    try:
        gpus = [read_gpu(index, line) for index, line in enumerate(answer.stdout.strip().splitlines())]
    except ValueError:
        gpus = []
    if answer.returncode != 0 or not gpus:
        raise CannotRun(
            f"{NEEDS_GPU} with driver {MIN_DRIVER} or newer, but nvidia-smi describes none (its output: {output[0]})"
        )
    return gpus


def read_gpu(index: int, line: str) -> Gpu:
    """Parse a line of nvidia-smi, such as `NVIDIA L4, 580.65.06, 8.9, 23034, GPU-5c08…`.

    nvidia-smi writes [N/A] for what it does not know: the memory of a GPU that shares it with the processor, for
    example. Raises ValueError if the line is none of its lines."""
    name, driver, capability, mebibytes, uuid = (field.strip() for field in line.split(","))
    int(driver.partition(".")[0])
    major, _, minor = capability.partition(".")
    return Gpu(
        index,
        name,
        driver,
        None if capability.startswith("[") else (int(major), int(minor)),
        None if mebibytes.startswith("[") else int(mebibytes) * 2**20,
        uuid,
    )


def visible_gpus(gpus: list[Gpu]) -> list[Gpu]:
    """Return the GPUs that torch will see, in the order of torch's numbers. Raises CannotRun if it will see none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return gpus
    names = [name.strip() for name in visible.split(",")]
    if names[0] in {"", "-1"}:
        raise CannotRun(f"CUDA_VISIBLE_DEVICES hides every GPU from the InstantID engine (its value: {visible!r})")
    found = [gpu for name in names for gpu in gpus if name == str(gpu.index) or (name and gpu.uuid.startswith(name))]
    # Names of parts of a GPU (MIG) are not in the list. Once torch is installed, it checks them.
    return found or gpus


def device_number(count: int) -> int:
    """Return the number of the GPU that HEADSHOTS_INSTANTID_DEVICE selects among `count` GPUs. Raises CannotRun."""
    device = instantid_device()
    number = device.removeprefix("cuda:") if device != "cuda" else "0"
    if not number.isdecimal():
        raise CannotRun(f"HEADSHOTS_INSTANTID_DEVICE is {device!r}, but must be cuda, cuda:N or cpu")
    if int(number) >= count:
        raise CannotRun(
            f"there is no GPU {device}: nvidia-smi lists {count}, numbered from cuda:0. Set HEADSHOTS_INSTANTID_DEVICE"
        )
    return int(number)


def gpu_fault(gpu: Gpu) -> str:
    """Explain why the engine cannot use this GPU. Returns "" if it can.

    With HEADSHOTS_TORCH_INDEX, driver and compute capability are checked later: torch knows what its build needs."""
    if not torch_index() and int(gpu.driver.partition(".")[0]) < MIN_DRIVER:
        return (
            f"the NVIDIA driver {gpu.driver} is too old, because {TORCH} needs {MIN_DRIVER} or newer (CUDA 13). "
            f"Update the driver, or {OTHER_BUILD}"
        )
    if not torch_index() and gpu.capability is not None and gpu.capability < MIN_CAPABILITY:
        return (
            f"the {gpu.name} is too old: its compute capability is {version(gpu.capability)}, but {TORCH} needs "
            f"{version(MIN_CAPABILITY)} or newer. Use a newer GPU, or {OTHER_BUILD}"
        )
    if gpu.memory_bytes is not None and gpu.memory_bytes < MIN_GPU_BYTES:
        return f"the {gpu.name} has {gpu.memory_bytes / 1e9:.1f} GB of memory, but the InstantID engine needs 12 GB"
    return ""


def memory_fault() -> str:
    """Explain that main memory is too small. Returns "" if it is large enough."""
    total = memory_bytes()
    if total >= MIN_MEMORY_BYTES:
        return ""
    return f"the InstantID engine needs 16 GB of main memory, but this machine has {total / 1e9:.1f} GB"


def memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def disk_fault() -> str:
    """Explain that a disk has too little free space for what is not installed yet. Returns "" if all have enough."""
    weights = Path(os.environ.get("HEADSHOTS_WEIGHTS_DIR") or WEIGHTS_FOLDER)
    sizes = {VENV: 0 if read_state() == "ready" else PACKAGES_BYTES, weights: missing_bytes(weights)}
    needed: dict[int, int] = {}
    places: dict[int, Path] = {}
    for folder, size in sizes.items():
        place = next(each for each in (folder, *folder.parents) if each.exists())
        disk = place.stat().st_dev
        needed[disk] = needed.get(disk, 0) + size
        places[disk] = place
    for disk, size in needed.items():
        free = shutil.disk_usage(places[disk]).free
        if free < size:
            return (
                f"the InstantID engine needs {size / 1e9:.1f} GB of free disk space for its packages and models, but "
                f"the disk of {places[disk]} has {free / 1e9:.1f} GB"
            )
    return ""


def missing_bytes(weights: Path) -> int:
    """Return the disk space for the models that are not in the folder yet, estimated by the folder's size."""
    stored = sum(file.stat().st_size for file in weights.rglob("*") if file.is_file())
    return 0 if stored >= WEIGHTS_BYTES else WEIGHTS_BYTES - stored + CONVERSION_BYTES


def compiler_warning() -> str:
    """Explain why the networks cannot be compiled here. Returns "" if they can, or if compiling is turned off."""
    if "-compile" in os.environ.get("HEADSHOTS_INSTANTID_OPTIMIZATIONS", "").split(","):
        return ""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    lacks = [] if shutil.which("gcc") or shutil.which("clang") else ["a C compiler"]
    lacks += [] if header.is_file() else [f"Python's headers ({header})"]
    if not lacks:
        return ""
    return (
        f"the networks will not be compiled, because this machine lacks {' and '.join(lacks)}. Pictures will be the "
        "same, but take longer. To compile, install gcc and python3-dev"
    )


def version(numbers: tuple[int, int]) -> str:
    return ".".join(map(str, numbers))
