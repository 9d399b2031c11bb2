"""The ZIP of a premium pack leaves the web process in pieces: 300 MB with less than 100 MB of memory."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import VALKEY_SOCKET
from tests.helpers.migrated import copy_migrated_database

ROOT = Path(__file__).resolve().parents[4]
MEGABYTE = 1_000_000

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process' memory from /proc")


@dataclass
class Web:
    """The web process alone, serving an own data folder."""

    process: "subprocess.Popen[bytes]"
    environment: dict[str, str]
    url: str

    def peak_megabytes(self) -> float:
        """The most memory that the process has held so far."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / MEGABYTE for line in lines if line.startswith("VmHWM"))

    def get(self, path: str, cookie: str) -> int:
        """Fetches it as a slow reader would; the number of bytes."""
        request = urllib.request.Request(self.url + path, headers={"Cookie": cookie})  # noqa: S310
        total = 0
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            assert answer.status == 200
            while piece := answer.read(1 << 16):
                total += len(piece)
            assert total == int(answer.headers["Content-Length"])
        return total


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    copy_migrated_database(tmp_path / "data")
    environment = os.environ | {
        "HEADSHOTS_DATA_DIR": str(tmp_path / "data"),
        "HEADSHOTS_PHOTO_KEYS_DIR": str(tmp_path / "source"),
        "HEADSHOTS_HEADSHOT_KEYS_DIR": str(tmp_path / "result"),
        "HEADSHOTS_REDIS_URL": f"unix://{VALKEY_SOCKET}",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "uvicorn", "headshots.asgi:application", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    yield Web(process, environment, f"http://127.0.0.1:{port}")
    process.terminate()
    process.wait(10)


def wait_until_it_serves(web: Web) -> None:
    give_up = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"{web.url}/", timeout=5).close()  # noqa: S310
            return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < give_up
            time.sleep(0.1)


@pytest.mark.parametrize(("count", "size"), [(20, 2 * MEGABYTE), (50, 6 * MEGABYTE)])
def test_a_zip_is_sent_in_little_memory(web: Web, count: int, size: int) -> None:
    command = [sys.executable, "-m", "tests.headshots.shoots.delivery.big_pack", str(count), str(size)]
    made = subprocess.run(command, cwd=ROOT, env=web.environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    pack = json.loads(made.stdout)
    wait_until_it_serves(web)
    before = web.peak_megabytes()

    sent = web.get(pack["path"], pack["cookie"])

    after = web.peak_megabytes()
    print(f"{sent / MEGABYTE:.0f} MB sent, peak {before:.0f} -> {after:.0f} MB")
    assert sent > count * size
    assert after - before < 25
