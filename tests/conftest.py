"""What every test stands on: an own data folder, own key rings, a real valkey, and no way out of this machine."""

import gc
import ipaddress
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.helpers.balance import LongestFirstScheduling, Stopwatch, sort_longest_first
from tests.helpers.slow_tests import leave_out

pytest_plugins = [
    # Before the others, which import it.
    "tests.helpers.migrated",
    "tests.helpers.product",
    "tests.helpers.servers",
    "tests.helpers.postgresql",
    "tests.helpers.emptied",
]

# Short and outside of pytest's own folders: a unix socket's path holds 107 characters at most.
SCRATCH = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
VALKEY_SOCKET = SCRATCH / "valkey.sock"
KEPT_FROM_THE_SHELL = {
    "HEADSHOTS_WEIGHTS_DIR",
    "HEADSHOTS_TEST_PHOTOS",
    "HEADSHOTS_REQUIRE_BROWSER",
    "HEADSHOTS_REQUIRE_TORCH",
    "HEADSHOTS_TEST_STRIPE_KEY",
}


def _prepare_environment() -> None:
    """Settings for the tests. Before Django loads: it reads the environment once."""
    for name in [name for name in os.environ if name.startswith("HEADSHOTS_")]:
        # What the person's own shell says must not reach a test, or their data. Where weights and photos lie may.
        if name not in KEPT_FROM_THE_SHELL:
            del os.environ[name]
    # The tests start hundreds of processes: each would compile all modules if none might keep what it compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # The tests run in as many processes as there are cores: threads that wait for one another only slow them down.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "headshots.settings",
        "HEADSHOTS_DEBUG": "1",
        "HEADSHOTS_SECRET_KEY": "a key for tests, long enough to keep the checks of Django quiet: 0123456789",
        "HEADSHOTS_DATA_DIR": str(SCRATCH / "data"),
        "HEADSHOTS_PHOTO_KEYS_DIR": str(SCRATCH / "source-ring"),
        "HEADSHOTS_HEADSHOT_KEYS_DIR": str(SCRATCH / "result-ring"),
        "HEADSHOTS_REDIS_URL": f"unix://{VALKEY_SOCKET}",
    }


_prepare_environment()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run the slow tests of tests/slow_tests.toml")
    parser.addoption("--long", action="store_true", help="run only the tests that take hours")
    parser.addoption("--measure", action="store_true", help="store the duration of each file in tests/durations.json")


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # Until all tests are collected.
    os.umask(0o077)
    # A shell has what it starts in the background ignore Ctrl-C, and whatever we start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    (SCRATCH / "data").mkdir(exist_ok=True)
    import django

    django.setup()
    if config.getoption("--measure") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Stopwatch())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """With `-n` the tests run in processes of their own, each with its own folders and valkey: they must not find the
    settings of this one, which Django would read before this file is."""
    del os.environ["DJANGO_SETTINGS_MODULE"]
    from tests.helpers.migrated import SHARED_FOLDER

    os.environ[SHARED_FOLDER] = tempfile.mkdtemp(prefix="database-", dir=SCRATCH)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LongestFirstScheduling:
    return LongestFirstScheduling(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(SCRATCH, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        sort_longest_first(items)
    leave_out(config, items)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the millions of objects of modules and tests, which stay until the end."""
    gc.freeze()
    gc.enable()


class NetworkBlocked(RuntimeError):
    """A test tried to leave this machine."""


def _refuse_strangers(address: object) -> None:
    """Raises NetworkBlocked unless `address` (as socket.connect takes it) is on this machine."""
    if not isinstance(address, tuple):
        return  # a unix socket's path
    host = str(address[0])
    try:
        is_here = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        is_here = host in {"localhost", ""}
    if not is_here:
        raise NetworkBlocked(f"tests may not connect to {host}")


@pytest.fixture(scope="session", autouse=True)
def network_blocked() -> Iterator[None]:
    """Connections stay on this machine: loopback and unix sockets only, names are not looked up elsewhere."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: object) -> None:
        _refuse_strangers(address)
        connect(self, address)  # type: ignore[arg-type]

    def guarded_connect_ex(self: socket.socket, address: object) -> int:
        _refuse_strangers(address)
        return connect_ex(self, address)  # type: ignore[arg-type]

    def guarded_getaddrinfo(host: object, *rest: object, **named: object) -> object:
        if host is not None:
            _refuse_strangers((host.decode() if isinstance(host, bytes) else host, 0))
        return getaddrinfo(host, *rest, **named)  # type: ignore[arg-type]

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def valkey_server() -> Iterator[Path]:
    """The socket of a real valkey that keeps nothing on disk."""
    from tests.helpers.servers import run_valkey

    with run_valkey(VALKEY_SOCKET, "--save", "", "--appendonly", "no"):
        yield VALKEY_SOCKET


@pytest.fixture(scope="session", autouse=True)
def no_power_cut() -> Iterator[None]:
    """Nothing that this process writes has to outlive a power cut: spare the thousands of waits for the disk."""
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", lambda descriptor: None)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def valkey(valkey_server: Path) -> Iterator["redis.Redis"]:
    """A client of the tests' valkey."""
    client = redis.Redis(unix_socket_path=str(valkey_server))
    yield client
    client.close()


@pytest.fixture(autouse=True)
def empty_valkey(valkey: "redis.Redis") -> None:
    """Each test starts with no message, no counted attempt and no nudge of another."""
    valkey.flushall()
