"""The web process alone, as the product starts it, and connections to it that say what they like."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headshots.launch.services import UVICORN
from tests.conftest import VALKEY_SOCKET
from tests.helpers.servers import free_ports

ROOT = Path(__file__).resolve().parents[2]
ATTACKER = "127.0.0.2"
"""Another address of this machine: limits by address tell it from the honest visitor's."""


@dataclass
class Web:
    """A web process that serves."""

    process: "subprocess.Popen[bytes]"
    port: int
    environment: dict[str, str]
    log: Path

    def connect(self, address: str = "127.0.0.1", seconds: float = 20) -> socket.socket:
        """Return a connection that comes from this address."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds, source_address=(address, 0))

    def ask(self, path: str, cookie: str = "", address: str = "127.0.0.1", more: str = "", body: bytes = b"") -> bytes:
        """Return the whole answer to a GET, or to a POST where there is a body."""
        with self.connect(address) as line:
            line.sendall(head(path, cookie, "Connection: close\r\n" + more, len(body) if body else None) + body)
            return read_all(line)

    def megabytes(self, name: str = "VmRSS") -> float:
        """Return the memory that the process holds now, `VmHWM` for the most so far."""
        found = re.search(rf"{name}:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found
        return int(found[1]) * 1024 / 1_000_000


def head(path: str, cookie: str = "", more: str = "", length: int | None = None) -> bytes:
    """Return the head of a request, a POST where a length is given."""
    lines = f"Host: localhost\r\n{more}" + (f"Cookie: {cookie}\r\n" if cookie else "")
    if length is None:
        return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()
    form = "Content-Type: multipart/form-data; boundary=b\r\n"
    return f"POST {path} HTTP/1.1\r\n{lines}{form}Content-Length: {length}\r\n\r\n".encode()


def read_all(line: socket.socket) -> bytes:
    """Return what comes until the other side closes. Raises TimeoutError when it does not."""
    answer = b""
    while True:
        try:
            piece = line.recv(65_536)
        except ConnectionError:
            return answer
        if not piece:
            return answer
        answer += piece


def status(answer: bytes) -> int:
    """Return the status of an answer, 0 without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def prepare(environment: dict[str, str], *program: str) -> str:
    """Return the last line that a program of the tests prints in the surroundings of a web process."""
    command = [sys.executable, "-m", *program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def environment_below(folder: Path, **settings: str) -> dict[str, str]:
    """Return the tests' own surroundings with folders below this one."""
    return os.environ | {
        "HEADSHOTS_DATA_DIR": str(folder / "data"),
        "HEADSHOTS_PHOTO_KEYS_DIR": str(folder / "source"),
        "HEADSHOTS_HEADSHOT_KEYS_DIR": str(folder / "result"),
        "HEADSHOTS_REDIS_URL": f"unix://{VALKEY_SOCKET}",
        "PYTHONPATH": str(ROOT),
        **settings,
    }


@contextmanager
def run_web(environment: dict[str, str], log: Path) -> Iterator[Web]:
    """A web process with these surroundings, once it answers."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", *UVICORN, "--port", str(port), "--no-access-log"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--log-level", "warning"], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    try:
        _wait_until_it_answers(port, log)
        yield Web(process, port, environment, log)
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_it_answers(port: int, log: Path) -> None:
    give_up = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
            return
        except urllib.error.HTTPError:
            return  # Any answer: here it misses the workers.
        except OSError:
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.1)
