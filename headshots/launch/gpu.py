"""Set up what the InstantID engine needs: a GPU, the right build of torch, its packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

from headshots.launch import PYTHON, ROOT, VENV, CannotRun, echo, fingerprint, folder_lock
from headshots.launch.environment import install_lock, pip_install

GPU_LOCK = "requirements-gpu.lock"
# Not in the lock file, because the right build of torch depends on the machine.
TORCH = "torch==2.13.0"
STATE_FILE = VENV / "headshots-gpu.json"
PROBE_SECONDS = 60
COMMAND = f".venv/bin/python -m pip install {TORCH} && .venv/bin/python -m pip install --no-deps -r docker/{GPU_LOCK}"


def require_gpu() -> None:
    """Check that there is an NVIDIA GPU, unless the engine is set to use the CPU. Raises CannotRun."""
    if os.environ.get("HEADSHOTS_INSTANTID_DEVICE") == "cpu":
        echo("The InstantID engine will run on the CPU, as configured. Each picture will take many minutes.")
        return
    tool = shutil.which("nvidia-smi")
    if tool is None:
        raise CannotRun("the InstantID engine needs an NVIDIA GPU and its driver, but this machine has no nvidia-smi")
    listed = subprocess.run([tool, "-L"], check=False, capture_output=True, text=True)
    if listed.returncode != 0 or "GPU " not in listed.stdout:
        reason = (listed.stdout + listed.stderr).strip().splitlines() or ["nothing"]
        raise CannotRun(
            f"the InstantID engine needs an NVIDIA GPU, but nvidia-smi lists none (its output: {reason[0]})"
        )


def set_up_gpu() -> None:
    """Install torch and the engine's packages into .venv, unless that is done already. Raises CannotRun."""
    if read_state() == "ready":
        return
    with folder_lock(ROOT, wait=True):
        if read_state() == "ready":
            return
        echo(f"Installing {TORCH} and the dependencies of the InstantID engine (first run only, several GB with CUDA)")
        # torch is installed first and alone, so that no other package chooses its build.
        pip_install(TORCH, total=30)
        install_lock(GPU_LOCK)
        write_state("ready")


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
            [*command, "--disable-pip-version-check", "--no-input", "--report", "-", TORCH],
            check=False, capture_output=True, text=True, timeout=PROBE_SECONDS,
        )  # fmt: skip
        metadata = json.loads(asked.stdout)["install"][0]["metadata"]
        needed = " ".join(metadata.get("requires_dist", []))
        return str(metadata["version"]).endswith("+cpu") or not ("nvidia" in needed or "cuda" in needed)
    except (subprocess.TimeoutExpired, ValueError, LookupError, TypeError):
        return False


def read_state() -> str:
    """Return `ready` or `skipped` for this lock file, interpreter and torch version, or "" if neither is recorded."""
    try:
        stamp = json.loads(STATE_FILE.read_text())
        return str(stamp["state"]) if stamp["of"] == environment_id() else ""
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def write_state(state: str) -> None:
    STATE_FILE.write_text(json.dumps({"state": state, "of": environment_id()}))


def environment_id() -> str:
    return f"{TORCH} {os.path.realpath(PYTHON)} {fingerprint(ROOT / 'docker' / GPU_LOCK)}"
