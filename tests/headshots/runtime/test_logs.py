"""What a log line says, what it never says, and whose work it is about, from the web into the workers."""

import asyncio
import io
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from headshots.celery import app
from headshots.runtime import log_context
from headshots.runtime.log_format import LineFormatter
from headshots.urls import handler400 as handler400
from headshots.urls import urlpatterns as real_urlpatterns

log = logging.getLogger("headshots.tests")
ROOT = Path(__file__).resolve().parents[3]
SHOOT, PACK = str(uuid4()), str(uuid4())


def work(request: HttpRequest, shoot_id: str) -> HttpResponse:
    log.info("at work")
    return HttpResponse()


def wake(request: HttpRequest, shoot_id: str) -> HttpResponse:
    app.send_task("tests.first", args=[shoot_id, PACK], queue="tests")
    return HttpResponse()


async def work_later(request: HttpRequest, shoot_id: str) -> HttpResponse:
    log.info("at work, later")
    return HttpResponse()


urlpatterns = [
    *real_urlpatterns,
    path("work/<str:shoot_id>/", work),
    path("wake/<str:shoot_id>/", wake),
    path("later/<str:shoot_id>/", work_later),
]


@pytest.fixture
def visitor(settings: LazySettings) -> Client:
    settings.ROOT_URLCONF = __name__
    return Client()


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, object]]]]:
    """A function that gives the lines of this test's logger, as JSON wrote them."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(LineFormatter(as_json=True))
    log.addHandler(handler)
    log.setLevel("INFO")
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    log.removeHandler(handler)
    log_context.reset()


def refused() -> logging.LogRecord:
    """A line about an exception whose messages would tell on somebody."""
    try:
        try:
            raise ValueError("ada-lovelace.png is of ada@example.org")
        except ValueError as cause:
            raise IntegrityError("Key (email)=(ada@example.org) already exists, token 4711") from cause
    except IntegrityError as error:
        about = (type(error), error, error.__traceback__)
    words = "refused %s of %s at /accounts/password/reset/key/2-abc-def/"
    return logging.LogRecord("accounts", logging.ERROR, __file__, 1, words, ("ada.JPG", "ada@example.org"), about)


# What a line says ----------------------------------------------------------------------------------------------------


def test_a_machine_reads_one_object_a_line() -> None:
    log_context.reset(request="r1", shoot="s1")

    line = json.loads(LineFormatter(as_json=True).format(refused()))
    log_context.reset()

    assert list(line)[:5] == ["level", "at", "logger", "event", "request"]
    assert (line["level"], line["logger"], line["request"], line["shoot"]) == ("ERROR", "accounts", "r1", "s1")
    assert line["event"] == "refused [picture] of [email] at /accounts/password/reset/key/[key]/"
    assert line["exception"][0] == "django.db.utils.IntegrityError"
    assert "caused by" in line["exception"]
    assert "builtins.ValueError" in line["exception"]


def test_a_person_reads_time_level_logger_text_and_ids() -> None:
    log_context.reset(request="r1", pack="p1")

    text = LineFormatter(as_json=False).format(refused())
    log_context.reset()

    first, *rest = text.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+00:00 ERROR accounts: refused ", first)
    assert first.endswith(" request=r1 pack=p1")
    assert any("test_logs.py" in line and "in refused" in line for line in rest)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_line_keeps_no_address_no_name_of_a_picture_and_no_message_of_an_exception(as_json: bool) -> None:
    line = LineFormatter(as_json=as_json).format(refused())

    for secret in ("ada@", "ada-", "ada.", "4711", "abc-def", "example.org"):
        assert secret not in line


def test_a_task_that_fails_is_told_without_the_message_of_its_exception() -> None:
    record = refused()
    record.name, record.msg = "celery.app.trace", "Task %(name)s[%(id)s] %(description)s: %(exc)s"
    record.args = {"name": "a.b", "id": "1", "description": "raised unexpected", "exc": "IntegrityError('token 4711')"}

    line = json.loads(LineFormatter(as_json=True).format(record))

    assert line["event"] == "Task a.b[1] raised unexpected: IntegrityError"


def test_nobody_writes_lines_in_another_way() -> None:
    others = [
        str(file.relative_to(ROOT))
        for file in (ROOT / "headshots").rglob("*.py")
        if re.search(r"^\s*print\(|structlog\.get_logger|getLogger\(\"(?!$)", file.read_text(), re.MULTILINE)
        if file.parent.name != "launch"
    ]

    assert others == []


@pytest.mark.parametrize(("debug", "as_json"), [("0", True), ("1", False)])
def test_production_writes_json_and_a_laptop_text(tmp_path: Path, debug: str, as_json: bool) -> None:
    code = "import django, logging; django.setup(); logging.getLogger('x').warning('well')"
    own = {"HEADSHOTS_DEBUG": debug, "HEADSHOTS_SECRET_KEY": "x" * 60, "HEADSHOTS_DATA_DIR": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | own, capture_output=True, text=True, check=True
    )

    assert done.stderr.startswith('{"level": "WARNING", "at": ') == as_json
    assert "WARNING x: well" in done.stderr or as_json


# Whose work it is about ----------------------------------------------------------------------------------------------


def test_lines_of_a_request_carry_its_id_and_its_shoot_and_so_does_its_answer(
    visitor: Client, lines: Callable[[], list[dict[str, object]]]
) -> None:
    first, second = visitor.get(f"/work/{SHOOT}/"), visitor.get(f"/work/{PACK}/")

    assert first["X-Request-ID"] != second["X-Request-ID"]
    logged = [(line["request"], line["shoot"]) for line in lines()]
    assert logged == [(first["X-Request-ID"], SHOOT), (second["X-Request-ID"], PACK)]


def test_a_view_that_waits_keeps_them(settings: LazySettings, lines: Callable[[], list[dict[str, object]]]) -> None:
    settings.ROOT_URLCONF = __name__

    answer = asyncio.run(AsyncClient().get(f"/later/{SHOOT}/"))

    (line,) = lines()
    assert (line["request"], line["shoot"]) == (answer["X-Request-ID"], SHOOT)


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/", "/nowhere/", "/accounts/login/"])
def test_every_answer_carries_an_id(address: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", Client().get(address)["X-Request-ID"])


@pytest.mark.parametrize(
    ("proxies", "given", "is_taken"),
    [(1, "proxy-1234567890", True), (0, "proxy-1234567890", False), (1, "short", False), (1, "a" * 65, False),
     (1, "ada@example.org", False), (1, 'x" level="CRITICAL', False)],
)  # fmt: skip
def test_only_a_proxy_of_the_operator_may_name_a_request(
    visitor: Client, settings: LazySettings, proxies: int, given: str, is_taken: bool
) -> None:
    settings.HEADSHOTS_TRUSTED_PROXIES = proxies

    answer = visitor.get(f"/work/{SHOOT}/", headers={"x-request-id": given})

    assert (answer["X-Request-ID"] == given) == is_taken


# A worker of the real application, with two tasks of its own.
WORKER = """
import logging, django
django.setup()
from headshots.celery import app
log = logging.getLogger("headshots.tests")

@app.task(name="tests.first")
def first(shoot_id, pack_id):
    log.info("first")
    app.send_task("tests.second", kwargs={"pack_id": pack_id}, queue="tests")

@app.task(name="tests.second")
def second(pack_id):
    log.info("second")
    raise ValueError("ada@example.org in ada-lovelace.png")

app.worker_main(["worker", "--pool", "solo", "-Q", "tests", "-n", "tests@%h", "--without-gossip", "--without-mingle"])
"""


def test_ids_arrive_in_a_workers_log_and_in_that_of_the_task_it_wakes(
    visitor: Client, tmp_path: Path, valkey_server: Path
) -> None:
    own = {"HEADSHOTS_LOG_JSON": "1", "HEADSHOTS_RUN_DIR": str(tmp_path)}
    written = tmp_path / "log"
    with written.open("w") as log_file:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER], env=os.environ | own, stdout=log_file, stderr=log_file
        )
    request = visitor.get(f"/wake/{SHOOT}/")["X-Request-ID"]
    log_context.reset()
    # From beat or a shell: nobody asked for it.
    app.send_task("tests.second", args=[PACK], queue="tests", headers={"other": "x"})
    try:
        give_up = time.monotonic() + 60
        while written.read_text().count('"event": "Task tests.second[') < 4:
            assert time.monotonic() < give_up, written.read_text()
            time.sleep(0.1)
    finally:
        worker.kill()
        worker.wait()

    logged = [json.loads(line) for line in written.read_text().splitlines() if line.startswith("{")]
    (first,) = [line for line in logged if line["event"] == "first"]
    assert (first["request"], first["shoot"], first["pack"]) == (request, SHOOT, PACK)
    seconds = [line for line in logged if line["event"] == "second"]
    assert sorted(line.get("request", "") for line in seconds) == ["", request]
    assert {line["pack"] for line in seconds} == {PACK}
    assert not [line for line in seconds if "shoot" in line]
    assert len({line["task"] for line in (first, *seconds)}) == 3
    failed = [line for line in logged if line["event"].endswith("raised unexpected: ValueError")]
    assert len(failed) == 2
    assert failed[0]["pack"] == PACK
    assert "example.org" not in written.read_text()
    assert "lovelace" not in written.read_text()
