"""Trusted time: from a local authority (openssl), and what happens when one is away, slow or wrong."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pipeline.files.finish import encode, finish
from pipeline.files.signing import Credential, Identity, make_test_identity, read_credential, sign
from pipeline.files.time_authority import MAX_BYTES, TimeAuthority
from pipeline.types import Box, DigitalSource

CONFIGURATION = """
[tsa]
default_tsa = authority
[authority]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
[usage]
extendedKeyUsage = critical, timeStamping
keyUsage = critical, digitalSignature
"""


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], bytes]:
    """Answers time-stamp queries as an authority does."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which plays the time-stamp authority, is not installed")
    folder = tmp_path_factory.mktemp("tsa")
    (folder / "c.cnf").write_text(CONFIGURATION.format(folder=folder))
    (folder / "serial").write_text("01")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(folder, "req", "-x509", *new_key, "-subj", "/O=Test/CN=CA", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(folder, "req", *new_key, "-subj", "/O=Test/CN=Time", "-keyout", "t.key", "-out", "t.csr")
    openssl(
        folder, "x509", "-req", "-in", "t.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-extfile", "c.cnf", "-extensions", "usage", "-out", "t.pem",
    )  # fmt: skip

    def answer(question: bytes) -> bytes:
        (folder / "q").write_bytes(question)
        openssl(
            folder, "ts", "-reply", "-config", "c.cnf", "-queryfile", "q", "-signer", "t.pem", "-inkey", "t.key",
            "-chain", "ca.pem", "-out", "a",
        )  # fmt: skip
        return (folder / "a").read_bytes()

    return answer


@contextmanager
def serving(answer: Callable[[bytes], bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the URL of a server with these answers, and the questions that it got."""
    questions: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            questions.append(self.rfile.read(int(self.headers["Content-Length"])))
            body = answer(questions[-1])
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", questions
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_test_identity("A studio in Testing")


def signed(identity: Identity, authority: TimeAuthority) -> Credential:
    picture = encode(np.full((64, 64, 3), 128, np.uint8), DigitalSource.COMPOSITE)
    stamped = sign(picture, "image/jpeg", DigitalSource.COMPOSITE, replace(identity, time_authority=authority))
    credential = read_credential(stamped)
    assert credential is not None
    assert credential.intact
    return credential


def test_the_full_file_says_when_it_was_signed_and_the_authority_learns_a_hash_only(
    identity: Identity, authority: Callable[[bytes], bytes]
) -> None:
    with serving(authority) as (url, questions):
        stamping = replace(identity, time_authority=TimeAuthority(url))
        files = finish(
            np.full((1600, 1280, 3), 90, np.uint8), Box(300, 300, 900, 900), DigitalSource.COMPOSITE, stamping
        )

    full, web, profile = (read_credential(data or b"") for data in (files.full, files.web, files.profile))
    assert full is not None
    assert full.intact
    assert full.time is not None
    assert abs(datetime.fromisoformat(full.time) - datetime.now(UTC)) < timedelta(minutes=1)
    assert not full.time_trusted
    assert web is not None
    assert profile is not None
    assert (web.time, profile.time) == (None, None)
    (question,) = questions
    assert len(question) < 100


@pytest.mark.parametrize("answer", [b"", b"garbage", bytes(MAX_BYTES + 1)], ids=["empty", "garbage", "endless"])
def test_a_wrong_answer_leaves_out_the_time_and_asks_no_more_for_a_while(identity: Identity, answer: bytes) -> None:
    with serving(lambda _: answer) as (url, questions):
        authority = TimeAuthority(url)

        assert [signed(identity, authority).time for _ in range(3)] == [None] * 3
        assert len(questions) == 1


def test_the_answer_to_another_question_is_refused(identity: Identity, authority: Callable[[bytes], bytes]) -> None:
    first: list[bytes] = []

    def always_the_first(question: bytes) -> bytes:
        first.append(authority(question))
        return first[0]

    with serving(always_the_first) as (url, _):
        assert signed(identity, TimeAuthority(url)).time is not None
        assert signed(identity, TimeAuthority(url)).time is None


def test_an_authority_that_is_slow_or_away_does_not_hold_up_a_signature(identity: Identity) -> None:
    release = threading.Event()

    def slow(_: bytes) -> bytes:
        release.wait(10)
        return b""

    with serving(slow) as (url, _):
        began = time.monotonic()
        assert signed(identity, TimeAuthority(url, seconds=0.3)).time is None
        assert time.monotonic() - began < 5
        release.set()
    assert signed(identity, TimeAuthority(url)).time is None


def test_after_the_pause_the_authority_is_asked_again(identity: Identity, authority: Callable[[bytes], bytes]) -> None:
    answers = [lambda _: b"garbage", authority]
    with serving(lambda question: answers.pop(0)(question)) as (url, _):
        source = TimeAuthority(url, pause_seconds=0)

        assert [signed(identity, source).time is not None for _ in range(2)] == [False, True]
