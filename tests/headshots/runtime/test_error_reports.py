"""What a crash tells Sentry: types and places, and nothing of whom it was about."""

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# A process of the product in which a request, a task and at last the process itself crash over somebody.
CRASHES = """
import io, sys
import django
django.setup()
import numpy as np
from django.db import IntegrityError
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import path
from headshots.runtime import log_context
from headshots.celery import app
from headshots.urls import urlpatterns as real_urlpatterns

def crash_over(face, email, name):
    embedding = face / 2
    try:
        raise IntegrityError(f"Key (email)=({email}) of {name} with {embedding!r}")
    except IntegrityError as error:
        raise ValueError(f"{name} of {email}: {face!r}") from error

def view(request, shoot_id):
    upload = request.FILES["photos"]
    crash_over(np.full(128, 0.123456), request.POST["email"], "ada-lovelace.png")

@app.task(name="tests.crash")
def crash(pack_id, email, name):
    crash_over(np.full(128, 0.123456), email, name)

urlpatterns = [*real_urlpatterns, path("crash/<str:shoot_id>/", view)]

def main():
    with override_settings(ROOT_URLCONF=sys.modules["__main__"]):
        photo = io.BytesIO(b"the pixels of somebody")
        photo.name = "ada-lovelace.png"
        client = Client(raise_request_exception=False, headers={"host": "localhost"})
        client.cookies["other"] = "a cookie of somebody"
        form = {"email": "ada@example.org", "photos": photo}
        headers = {"user-agent": "a browser of somebody", "authorization": "a password of somebody"}
        answer = client.post("/crash/4711/?who=somebody", form, headers=headers)
    assert answer.status_code == 500
    crash.apply(args=["4712", "ada@example.org"], kwargs={"name": "ada-lovelace.png"})
    log_context.reset()
    crash_over(np.full(128, 0.123456), "ada@example.org", "ada-lovelace.png")

main()
"""


class Sentry(ThreadingHTTPServer):
    """Takes whatever is posted to it."""

    daemon_threads = True

    def __init__(self) -> None:
        self.received: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Envelopes)

    @property
    def dsn(self) -> str:
        return f"http://a-public-key@127.0.0.1:{self.server_port}/7"

    def events(self) -> list[dict[str, object]]:
        """The events in the envelopes, in the order in which they came."""
        lines = [line for body in self.received for line in body.splitlines() if line.startswith(b"{")]
        parsed = [json.loads(line) for line in lines]
        return [each for each in parsed if "exception" in each]


class _Envelopes(BaseHTTPRequestHandler):
    server: Sentry

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_packed = self.headers.get("Content-Encoding") == "gzip"
        self.server.received.append(gzip.decompress(body) if is_packed else body)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments: object) -> None:
        """Tests have nothing to say to stderr."""


@contextmanager
def run_sentry() -> Iterator[Sentry]:
    with Sentry() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def run(code: str, tmp_path: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    own = {"HEADSHOTS_DATA_DIR": str(tmp_path / "data"), **settings}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | own, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Sentry:
    """One that has what a real process sent of its crashes: of a request, of a task and of its own."""
    with run_sentry() as sentry:
        crashed = run(CRASHES, tmp_path_factory.mktemp("crashes"), HEADSHOTS_SENTRY_DSN=sentry.dsn)
    assert crashed.returncode == 1, crashed.stderr
    return sentry


@pytest.fixture
def events(told: Sentry) -> list[dict[str, object]]:
    return told.events()


def test_a_crash_arrives_with_types_places_and_ids_and_with_nothing_of_the_person(
    events: list[dict[str, object]], told: Sentry
) -> None:
    arrived = b"\n".join(told.received).decode()

    assert [[e["type"] for e in event["exception"]["values"]] for event in events] == [
        ["IntegrityError", "ValueError"]
    ] * 3
    for event in events:
        cause, error = event["exception"]["values"]
        assert (cause["type"], error["type"]) == ("IntegrityError", "ValueError")
        assert error["stacktrace"]["frames"][-1]["function"] == "crash_over"
        assert error["stacktrace"]["frames"][-1]["lineno"] > 0
    request, task, process = [event.get("tags", {}) for event in events]
    assert request["shoot"] == "4711"
    assert len(request["request"]) == 32
    assert task["pack"] == "4712"
    assert process == {}
    for secret in ("lovelace", "ada@", "example.org", "0.123456", "0.061728", "array(", "pixels", "somebody", "Key ("):
        assert secret not in arrived


def test_no_field_arrives_that_is_not_asked_for(events: list[dict[str, object]]) -> None:
    fields, parts, of_frames = set(), set(), set()
    for event in events:
        fields |= set(event)
        for error in event["exception"]["values"]:
            parts |= set(error)
            of_frames |= {name for frame in error["stacktrace"]["frames"] for name in frame}

    assert fields <= {"event_id", "timestamp", "level", "platform", "environment", "release", "exception", "tags"}
    assert parts == {"type", "module", "mechanism", "stacktrace"}
    assert of_frames == {"filename", "module", "function", "lineno", "in_app"}


def test_lines_of_log_and_messages_are_not_sent(tmp_path: Path) -> None:
    code = """
import django, logging
django.setup()
import sentry_sdk
logging.getLogger("headshots").error("about ada@example.org")
sentry_sdk.add_breadcrumb(message="about ada@example.org")
sentry_sdk.capture_message("about ada@example.org")
"""
    with run_sentry() as sentry:
        done = run(code, tmp_path, HEADSHOTS_SENTRY_DSN=sentry.dsn)

    assert done.returncode == 0, done.stderr
    assert sentry.received == []


def test_without_a_sentry_its_library_is_not_even_loaded(tmp_path: Path) -> None:
    code = "import sys; from headshots import asgi, celery; print('sentry_sdk' in sys.modules)"

    done = run(code, tmp_path)

    assert done.stdout.strip() == "False", done.stderr
