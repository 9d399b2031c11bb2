"""Set up what the InstantID engine needs: the right build of torch, and its packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from headshots.launch import PYTHON, ROOT, VENV, CannotRun, echo, fingerprint, folder_lock
from headshots.launch.environment import install_lock, pip_install, pipeline_environment

GPU_LOCK = "requirements-gpu.lock"
# Not in the lock file, because the right build of torch depends on the machine.
TORCH = "torch==2.13.0"
STATE_FILE = VENV / "headshots-gpu.json"
PROBE_SECONDS = 60
COMMAND = f".venv/bin/python -m pip install {TORCH} && .venv/bin/python -m pip install --no-deps -r docker/{GPU_LOCK}"


def instantid_device() -> str:
    """Return the device that the settings select for the InstantID engine: cuda, cuda:N or cpu."""
    return os.environ.get("HEADSHOTS_INSTANTID_DEVICE") or "cuda"


def torch_index() -> str:
    """Return the address of the package index that torch is installed from, "" for the one in pip's settings."""
    return os.environ.get("HEADSHOTS_TORCH_INDEX", "")


def index_arguments() -> list[str]:
    return ["--index-url", torch_index()] if torch_index() else []


def set_up_gpu() -> None:
    """Install torch and the engine's packages into .venv, unless that is done already. Raises CannotRun."""
    if read_state() == "ready":
        return
    with folder_lock(ROOT, wait=True):
        if read_state() == "ready":
            return
        echo(f"Installing {TORCH} and the dependencies of the InstantID engine (first run only, 3 GB with CUDA)")
        # pip would keep a build of the same version from another index.
        replace = ["--force-reinstall"] if torch_index() != read_stamp().get("index", "") else []
        # torch is installed first and alone, so that no other package chooses its build.
        pip_install(TORCH, *index_arguments(), *replace, total=30)
        install_lock(GPU_LOCK)
        write_state("ready")


def check_torch() -> None:
    """Check that the installed build of torch can use the GPU. Raises CannotRun."""
    command = [str(PYTHON), "-P", "-m", "pipeline.diffusion.device", instantid_device()]
    checked = subprocess.run(command, env=pipeline_environment(), check=False, capture_output=True, text=True)
    if checked.returncode != 0:
        # The last line is the reason. torch's warnings come first.
        lines = checked.stderr.strip().splitlines() or ["torch cannot be loaded"]
        raise CannotRun(lines[-1].removesuffix("."))


def set_up_gpu_for_tests() -> None:
    """Install what the tests of the InstantID engine need, if torch comes without CUDA here.

    Otherwise, or if the installation fails, prints which tests are skipped and why.
    A skip because of CUDA is remembered for this lock file, interpreter and torch version.
    If HEADSHOTS_REQUIRE_TORCH is set, pip is asked again every time."""
    state = read_state()
    if state == "ready" or (state == "skipped" and not os.environ.get("HEADSHOTS_REQUIRE_TORCH")):
        return
    if not is_torch_build_small():
        echo(f"Skipping tests of the InstantID engine: torch would download gigabytes of CUDA. To run them: {COMMAND}")
        write_state("skipped")
        return
    try:
        set_up_gpu()
    except CannotRun as error:
        echo(f"Skipping tests of the InstantID engine: {error}. To run them: {COMMAND}")


def is_torch_build_small() -> bool:
    """Return True if pip would install a build of torch without CUDA.

    Asks pip in a dry run. Returns False if the answer is missing, late or unreadable."""
    if sys.platform == "darwin":
        return True
    command = [str(PYTHON), "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps"]
    try:
        asked = subprocess.run(
            [*command, "--disable-pip-version-check", "--no-input", "--report", "-", TORCH, *index_arguments()],
            check=False, capture_output=True, text=True, timeout=PROBE_SECONDS,
        )  # fmt: skip
        metadata = json.loads(asked.stdout)["install"][0]["metadata"]
        needed = " ".join(metadata.get("requires_dist", []))
        return str(metadata["version"]).endswith("+cpu") or not ("nvidia" in needed or "cuda" in needed)
    except (subprocess.TimeoutExpired, ValueError, LookupError, TypeError):
        return False


def read_stamp() -> dict[str, str]:
    """Return what the last set-up recorded, {} if there is none or if it cannot be read."""
    try:
        stamp = json.loads(STATE_FILE.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def read_state() -> str:
    """Return `ready` or `skipped` for this lock file, interpreter, torch version and index, or "" if neither is so."""
    stamp = read_stamp()
    is_current = stamp.get("of") == environment_id() and stamp.get("index", "") == torch_index()
    return str(stamp.get("state", "")) if is_current else ""


def write_state(state: str) -> None:
    STATE_FILE.write_text(json.dumps({"state": state, "of": environment_id(), "index": torch_index()}))


def environment_id() -> str:
    return f"{TORCH} {os.path.realpath(PYTHON)} {fingerprint(ROOT / 'docker' / GPU_LOCK)}"
