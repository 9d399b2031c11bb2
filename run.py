#!/usr/bin/env python3
"""Set up and run Headshots. Needs only Python.

Without a command, run.py starts Headshots and runs until you press Ctrl-C.
The first start also installs the dependencies into .venv and downloads the model weights.

commands:
  doctor     Diagnose this installation: engines, settings and failed checks.
  engines    List the engines, what they are missing, and the license of each weight.
  check      Check whether photos are usable, and explain what is wrong if not.
  make       Make headshots of the person in one to five photos.
  upscale    Enlarge a picture four times.
  prove      Make pictures of several people with the real weights, and report likeness and speed.
  weights    Download the weights that are missing.
  evaluate   Compare results between groups of people.
  calibrate  Fit the likeness score to labeled face pairs and report its error rates.
  bench      Measure speed and memory use.
  manage     Run a Django management command with the settings of this installation.
  test       Run the tests; --full includes the slow ones, --long runs the longest.

Run 'python3 run.py COMMAND --help' for the options of a command.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11) or sys.platform == "win32":
    sys.exit("Headshots needs Python 3.11 or newer on Linux, macOS or WSL2 (on Windows: wsl --install).")

import argparse
import contextlib
import os
import resource
import signal
import socket
import subprocess
from pathlib import Path
from types import FrameType
from typing import NoReturn

from headshots.launch import PYTHON, ROOT, RUN_LOCK, TEST_LOCK, CannotRun, echo, folder_lock
from headshots.launch.environment import (
    fetch_instantid,
    finish_fetching_weights,
    pipeline_command,
    pipeline_environment,
    set_up,
    start_fetching_weights,
    weights_arguments,
)
from headshots.launch.gpu import check_torch, set_up_gpu, set_up_gpu_for_tests
from headshots.launch.requirements import require_machine
from headshots.launch.services import (
    ServiceFactory,
    listen_on,
    make_data_folder,
    service_environment,
    start_services,
    valkey_socket,
)
from headshots.launch.supervise import Service, stop, supervise

PIPELINE_COMMANDS = ("make", "check", "upscale", "engines", "prove", "bench", "calibrate", "evaluate", "weights")
# Commands that work without weights, because they report or download what is missing.
WITHOUT_WEIGHTS = ("engines", "weights")
ENGINES = ("auto", "studio", "instantid")


def serve(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="run.py",
        usage="python3 run.py [OPTIONS]\n       python3 run.py COMMAND ...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1 (default: 8000)")
    parser.add_argument(
        "--data", type=Path, default=data_folder(), help="data folder; keys are stored elsewhere (default: %(default)s)"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the home page in a browser")
    parser.add_argument(
        "--engine", choices=ENGINES, help="engine to use; instantid is installed first, with its weights (12 GB)"
    )
    parser.add_argument(
        "--yes", action="store_true", help="accept the sizes and licenses of those weights without asking"
    )
    options = parser.parse_args(arguments)
    if options.engine == "instantid":
        require_machine()
    data = options.data.resolve()
    os.umask(0o077)
    make_data_folder(data)
    with contextlib.ExitStack() as held:
        try:
            lock = held.enter_context(folder_lock(data, wait=False))
        except BlockingIOError as error:
            raise CannotRun(
                f"{data} is in use by another run.py. Stop it, or choose another folder with --data"
            ) from error
        listener = held.enter_context(listen_on(options.port))
        set_up(RUN_LOCK)
        choose_engine(options.engine, agreed=options.yes)
        redis_url = os.environ.get("HEADSHOTS_REDIS_URL")
        path = None if redis_url else held.enter_context(valkey_socket(data))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        factory = ServiceFactory(data, service_environment(data, redis_url or f"unix://{path}"), lock, address)
        run(factory, path, listener, browser=not options.no_browser)
    return 0


def choose_engine(engine: str | None, *, agreed: bool) -> None:
    """Set HEADSHOTS_ENGINE for the services. Installs InstantID and its weights first, if requested."""
    if engine is None:
        return
    if engine == "instantid":
        set_up_gpu()
        check_torch()
        fetch_instantid(agreed=agreed)
    os.environ["HEADSHOTS_ENGINE"] = engine


def run(factory: ServiceFactory, path: Path | None, listener: socket.socket, *, browser: bool) -> None:
    """Run the services until a signal arrives, then stop all of them. A second signal kills them immediately."""
    interrupts: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        interrupts.append(number)
        if len(interrupts) == 1:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    services: list[Service] = []
    try:
        start_services(factory, path, listener, services)
        print(f"Headshots is ready at {factory.address} (press Ctrl-C to stop)", flush=True)
        if browser:
            open_in_browser(factory.address)
        supervise(services, until=lambda: False)
    except KeyboardInterrupt:
        echo("\nStopping")
    finally:
        users = [service for service in services if service.name != "valkey"]
        stop(users, immediately=lambda: len(interrupts) > 1)
        stop([service for service in services if service.name == "valkey"], immediately=lambda: len(interrupts) > 1)


def open_in_browser(address: str) -> None:
    # Without a display, Python would open a text browser in this terminal.
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    null = subprocess.DEVNULL
    command = [sys.executable, "-m", "webbrowser", address]
    subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)


def data_folder() -> Path:
    return Path(os.environ.get("HEADSHOTS_DATA_DIR") or ROOT / "var")


def parallel_arguments(arguments: list[str]) -> list[str]:
    """Return pytest's arguments for two test processes, unless these arguments decide otherwise or name one test."""
    decided = any(argument.startswith(("-n", "--numprocesses", "--pdb", "-s")) for argument in arguments)
    return [] if decided or any("::" in argument for argument in arguments) else ["-n", "2"]


def exec_command(command: list[str], environment: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    os.execve(command[0], command, environment)


def main(arguments: list[str]) -> int:
    # A core dump would contain pictures and keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command in PIPELINE_COMMANDS:
        set_up(RUN_LOCK)
        if command not in WITHOUT_WEIGHTS:
            finish_fetching_weights(start_fetching_weights())
        folder = [] if "--weights" in rest else weights_arguments()
        exec_command(pipeline_command(command, *rest, *folder), pipeline_environment())
    if command == "test":
        set_up(TEST_LOCK)
        set_up_gpu_for_tests()
        finish_fetching_weights(start_fetching_weights())
        os.chdir(ROOT)
        exec_command([str(PYTHON), "-m", "pytest", *parallel_arguments(rest), *rest], dict(os.environ))
    if command in {"manage", "doctor"}:
        set_up(RUN_LOCK)
        data = data_folder().resolve()
        make_data_folder(data)
        redis_url = os.environ.get("HEADSHOTS_REDIS_URL") or f"unix://{data}/run/valkey.sock"
        exec_command(
            [str(PYTHON), str(ROOT / "manage.py"), *(["doctor"] if command == "doctor" else []), *rest],
            service_environment(data, redis_url),
        )
    return serve(arguments)


def raise_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, raise_interrupt)
    try:
        sys.exit(main(sys.argv[1:]))
    except CannotRun as error:
        sys.exit(f"run.py: {error}")
    except KeyboardInterrupt:
        echo("\nStopped. Run run.py again to continue.")
        sys.exit(130)
