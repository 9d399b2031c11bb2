"""A body that is too large is refused before anything is kept; a large one that is allowed never touches the disk."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as product
from django.test import Client

from headshots.accounts.models import User
from headshots.asgi import application

# Each request looks whether a connection is left from the one before, and other tests may have left one.
pytestmark = pytest.mark.django_db

MEGABYTE = 1024 * 1024
BOUNDARY = b"a-boundary"


@pytest.fixture
def no_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever wants a temporary file now fails."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))


class Answer:
    """What the server sent back."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""


def post(
    address: str, chunks: Iterator[bytes], announced: int | None = None, cookie: str = "", complete: bool = True
) -> Answer:
    """A POST through the whole ASGI application, its body sent in chunks, and with `complete` to its end."""
    answer = Answer()
    ended: list[bool] = []
    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"multipart/form-data; boundary=" + BOUNDARY),
        (b"cookie", cookie.encode()),
    ]
    if announced is not None:
        headers.append((b"content-length", str(announced).encode()))

    async def receive() -> dict[str, object]:
        for chunk in chunks:
            return {"type": "http.request", "body": chunk, "more_body": True}
        if complete and not ended:
            ended.append(True)
            return {"type": "http.request", "body": b"", "more_body": False}
        # The rest never comes, or there is none: a browser that waits for the answer.
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = dict(message["headers"])
        else:
            answer.body += message.get("body", b"")

    scope = {
        "type": "http",
        "method": "POST",
        "path": address,
        "raw_path": address.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("localhost", 8000),
        "scheme": "http",
        "http_version": "1.1",
    }
    async_to_sync(application)(scope, receive, send)
    return answer


def megabytes(count: int) -> Iterator[bytes]:
    yield from (b"x" * MEGABYTE for _ in range(count))


def is_our_page(answer: Answer) -> bool:
    return b"Upload too large" in answer.body and b"content-security-policy" in {
        name.lower() for name in answer.headers
    }


def test_a_body_that_is_announced_too_large_is_refused_before_it_comes() -> None:
    answer = post("/accounts/login/", megabytes(0), announced=9 * MEGABYTE, complete=False)

    assert answer.status == 413
    assert is_our_page(answer)


def test_a_body_that_grows_too_large_is_cut_off() -> None:
    answer = post("/accounts/login/", megabytes(2), complete=False)

    assert answer.status == 413
    assert is_our_page(answer)


def test_a_file_of_looks_that_is_too_large_is_told_so_in_the_offices_words() -> None:
    answer = post("/admin/shoots/style/import/", megabytes(3), complete=False)

    assert answer.status == 413
    assert b"files of looks up to 200 kB" in answer.body
    assert b"photo" not in answer.body


@pytest.mark.usefixtures("no_temporary_files")
def test_whatever_comes_after_the_limit_is_dropped() -> None:
    answer = post("/accounts/login/", megabytes(200))

    assert answer.status == 413


def test_a_body_that_lies_about_its_size_is_cut_off() -> None:
    answer = post("/accounts/login/", megabytes(9), announced=100)

    assert answer.status == 413


def test_five_full_photos_and_their_form_fit_and_more_does_not() -> None:
    assert product.HEADSHOTS_MAX_UPLOAD_BYTES == 126 * MEGABYTE

    answer = post("/shoots/new/", megabytes(0), announced=product.HEADSHOTS_MAX_UPLOAD_BYTES + 1)

    assert answer.status == 413


# The handler works in a thread of its own, with a connection of its own.
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_temporary_files")
def test_a_large_upload_stays_in_memory_alone(client: Client, person: User) -> None:
    client.force_login(person)
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    token = "t" * 32
    fields = b"".join(part(name, b"on") for name in ("consent", "is_me")) + part("csrfmiddlewaretoken", token.encode())
    body = fields + part("photos", b"\xff\xd8 no photo" * (2 * MEGABYTE), "one.jpg") + b"--" + BOUNDARY + b"--\r\n"

    answer = post("/shoots/new/", iter([body]), announced=len(body), cookie=f"{cookie}; csrftoken={token}")

    assert len(body) > 20 * MEGABYTE
    assert answer.status == 422
    assert b"t read this file" in answer.body or b"t use this file" in answer.body


def part(name: str, value: bytes, file_name: str = "") -> bytes:
    """One field of a multipart body."""
    file = f'; filename="{file_name}"\r\nContent-Type: image/jpeg' if file_name else ""
    return (
        b"--" + BOUNDARY + f'\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"
    )
