"""Set up the virtual environment and fetch the model files."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import venv

from headshots.launch import (
    PYTHON,
    ROOT,
    RUN_LOCK,
    TEST_LOCK,
    VENV,
    CannotRun,
    die_with_parent,
    echo,
    fingerprint,
    folder_lock,
)

STATE_FILE = VENV / "headshots.json"
# Numbers GPUs as nvidia-smi does. By default, torch begins with the fastest one.
GPU_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def required_locks(lock: str) -> dict[str, str]:
    """Return the lock files that an environment for `lock` satisfies, with their hashes.

    The lock file of the tests includes the one of the product."""
    names = [RUN_LOCK, TEST_LOCK] if lock == TEST_LOCK else [lock]
    return {name: fingerprint(ROOT / "docker" / name) for name in names}


def read_state_file() -> dict[str, object] | None:
    """Return the state that the last set-up of .venv wrote: None without one, {} if the file is unreadable."""
    try:
        stamp = json.loads(STATE_FILE.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def is_set_up(lock: str) -> bool:
    stamp = read_state_file() or {}
    locks = stamp.get("locks")
    # The interpreter's path changes with its version. After a system upgrade, the environment lacks its libraries.
    return (
        stamp.get("state") == "ready"
        and stamp.get("python") == os.path.realpath(PYTHON)
        and isinstance(locks, dict)
        and required_locks(lock).items() <= locks.items()
    )


def set_up(lock: str) -> None:
    """Install into .venv what `lock` names, unless that is done already. Raises CannotRun."""
    if is_set_up(lock):
        return
    with folder_lock(ROOT, wait=True):
        if is_set_up(lock):
            return
        stamp = read_state_file()
        # An interrupted set-up can leave an incomplete package, which pip would consider installed.
        if (stamp is not None and stamp.get("state") != "ready") or not pip_works():
            make_environment()
        STATE_FILE.write_text(json.dumps({"state": "installing"}))
        install(lock)
        ready = {"state": "ready", "python": os.path.realpath(PYTHON), "locks": required_locks(lock)}
        STATE_FILE.write_text(json.dumps(ready))


def pip_works() -> bool:
    command = [str(PYTHON), "-c", "import pip"]
    return PYTHON.exists() and subprocess.run(command, check=False, capture_output=True).returncode == 0


def make_environment() -> None:
    if importlib.util.find_spec("ensurepip") is None:
        raise CannotRun(
            "this Python cannot create virtual environments. On Debian or Ubuntu, run: apt install python3-venv"
        )
    echo("Creating the virtual environment .venv")
    try:
        venv.create(VENV, with_pip=True, clear=True, symlinks=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotRun(f"could not create the virtual environment {VENV}: {error}") from error


def install(lock: str) -> None:
    echo("Installing dependencies (first run only, 1–2 minutes)")
    try:
        install_lock(lock)
    except CannotRun:
        # pip ended on its own and left no incomplete package, so the next start can reuse this environment.
        STATE_FILE.unlink(missing_ok=True)
        raise


def install_lock(lock: str) -> None:
    """Install what the lock file names, checked by hash. Raises CannotRun."""
    file = ROOT / "docker" / lock
    total = len(re.findall(r"(?m)^[a-z0-9]", file.read_text()))
    pip_install("--no-deps", "--require-hashes", "-r", str(file), total=total)


def pip_install(*arguments: str, total: int) -> None:
    """Run `pip install` in .venv.

    Shows the progress through `total` packages on a terminal. Raises CannotRun."""
    command = [str(PYTHON), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    pip = subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=die_with_parent,
    )  # fmt: skip
    lines: list[str] = []
    try:
        assert pip.stdout is not None
        for line in pip.stdout:
            lines.append(line.rstrip())
            show_progress(lines, total)
    except KeyboardInterrupt:
        pip.kill()
        pip.wait()
        raise
    if sys.stderr.isatty():
        print(f"\r{'':<66}\r", end="", file=sys.stderr)
    if pip.wait() != 0:
        echo("\n".join(lines[-15:]))
        raise CannotRun(
            "pip could not install the dependencies (see above). Check your internet connection or pip index settings"
        )


def show_progress(lines: list[str], total: int) -> None:
    if sys.stderr.isatty():
        found = sum(line.startswith(("Collecting ", "Requirement already")) for line in lines)
        step = f"{found} of {total}" if lines[-1].startswith("Collecting") else lines[-1].strip()[:60]
        print(f"\r  {step:<64}", end="", file=sys.stderr, flush=True)


def weights_arguments() -> list[str]:
    folder, catalog = os.environ.get("HEADSHOTS_WEIGHTS_DIR"), os.environ.get("HEADSHOTS_WEIGHTS_CATALOG")
    return [*(["--weights", folder] if folder else []), *(["--catalog", catalog] if catalog else [])]


def pipeline_command(*arguments: str) -> list[str]:
    # -P: the current folder can contain another module named `pipeline`.
    return [str(PYTHON), "-P", "-m", "pipeline", *arguments]


def pipeline_environment() -> dict[str, str]:
    return GPU_ORDER | os.environ | {"PYTHONPATH": str(ROOT)}


def fetch_instantid(*, agreed: bool) -> None:
    """Fetch InstantID's weights in the foreground, after showing their sizes and terms.

    agreed: True to skip the question for consent. Raises CannotRun if a weight is missing afterwards."""
    command = pipeline_command("weights", "fetch", "instantid", *(["--yes"] if agreed else []), *weights_arguments())
    if subprocess.run(command, env=pipeline_environment(), stdout=sys.stderr.fileno(), check=False).returncode != 0:
        raise CannotRun("some weights of the InstantID engine are missing (see above)")


def start_fetching_weights() -> subprocess.Popen[bytes]:
    # stdout is reserved for the output of the requested command.
    return subprocess.Popen(
        pipeline_command("weights", "fetch", *weights_arguments()),
        env=pipeline_environment(), stdout=sys.stderr.fileno(), preexec_fn=die_with_parent,
    )  # fmt: skip


def finish_fetching_weights(fetching: subprocess.Popen[bytes]) -> None:
    if fetching.wait() != 0:
        raise CannotRun("some weights are missing (see above). Run run.py again to download them")


def stop_fetching_weights(fetching: subprocess.Popen[bytes]) -> None:
    """End a fetch of weights, if it still runs.

    The next fetch removes incomplete files."""
    fetching.terminate()
    try:
        fetching.wait(5)
    except subprocess.TimeoutExpired:
        fetching.kill()
