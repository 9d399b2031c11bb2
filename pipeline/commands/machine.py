"""Describe the machine in a report: versions, GPUs and memory. Contains no host name, user name or path.

Imports no heavy packages, and works before torch is installed.
"""

import os
import platform
import resource
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    *("torch", "diffusers", "transformers", "accelerate", "safetensors", "insightface", "onnxruntime", "mnn"),
    *("numpy", "opencv-python-headless", "dlib-bin", "pillow"),
)
GPU_COLUMNS = "name,driver_version,compute_cap,memory.total"
TOOL_SECONDS = 20

Description = dict[str, object]


def describe_machine() -> Description:
    """Return the system, the versions of the packages that matter, and the GPUs as the driver and torch see them."""
    return {
        "commit": run_tool("git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "memory_gigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "packages": package_versions(),
        "gpus": (run_tool("nvidia-smi", f"--query-gpu={GPU_COLUMNS}", "--format=csv,noheader") or "").splitlines(),
        "torch": describe_torch(),
    }


def package_versions() -> dict[str, str]:
    """Return the versions of those PACKAGES that are installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def describe_torch() -> Description | None:
    """Return what torch was built for and which GPUs it finds, or None if no torch was imported."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    found = torch.cuda.is_available()
    cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count() if found else 0)]
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "architectures": torch.cuda.get_arch_list(),
        "gpus": [f"{card.name}, capability {card.major}.{card.minor}" for card in cards],
    }


def describe_memory(device: str) -> Description:
    """Return the peak memory of this process, and of a GPU that torch uses, in GB."""
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peaks: Description = {"process": gigabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)}
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None and torch.cuda.is_initialized():
        peaks["gpu_allocated"] = gigabytes(torch.cuda.max_memory_allocated(device))
        peaks["gpu_reserved"] = gigabytes(torch.cuda.max_memory_reserved(device))
        peaks["gpu_total"] = gigabytes(torch.cuda.mem_get_info(device)[1])
    return peaks


def wait_for_gpu() -> None:
    """Wait until the GPU has finished its work, so that a clock does not count it for a later stage."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def gigabytes(count: float) -> float:
    return round(count / 1e9, 2)


def run_tool(name: str, *arguments: str) -> str | None:
    """Return the output of a program, or None if it is missing or fails."""
    tool = shutil.which(name)
    if tool is None:
        return None
    try:
        ran = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=TOOL_SECONDS, check=True)  # noqa: S603 - constant arguments
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout.strip()
