"""Services are kept alive: real processes that die, hang, talk and leave children behind."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headshots.launch import supervise as supervision
from headshots.launch.supervise import HeartbeatFile, Service, SocketProbe, stop, supervise

# Touches its heartbeat file, or stays silent once the file `silent` lies beside it.
BEATING = """
import pathlib, time
while True:
    if not pathlib.Path("silent").exists(): pathlib.Path("a.heartbeat").touch()
    time.sleep(0.02)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def start(
        program: str, *, liveness: HeartbeatFile | SocketProbe | None = None, timeout_seconds: float = 1.0
    ) -> Service:
        service = Service(
            "a",
            [sys.executable, "-u", "-c", program],
            liveness=liveness or HeartbeatFile(tmp_path / "a.heartbeat"),
            timeout_seconds=timeout_seconds,
            log=tmp_path / "a.log",
            folder=tmp_path,
            environment=dict(os.environ),
        )
        services.append(service)
        service.start()
        return service

    yield start
    stop(services, immediately=lambda: True)


def pid(service: Service) -> int | None:
    return service.process.pid if service.process else None


def wait(service: Service, until: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds

    def done() -> bool:
        assert time.monotonic() < deadline
        return until()

    supervise([service], done, every_seconds=0.02)


def is_alive(process_id: int) -> bool:
    status = Path(f"/proc/{process_id}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_killed_service_comes_back(start: Callable[..., Service]) -> None:
    service = start(BEATING)
    wait(service, lambda: service.has_been_alive)
    first = pid(service)
    assert first is not None

    os.kill(first, signal.SIGKILL)

    wait(service, lambda: pid(service) not in {None, first} and service.has_been_alive)


def test_a_stopped_service_is_killed_and_comes_back(start: Callable[..., Service]) -> None:
    service = start(BEATING)
    wait(service, lambda: service.has_been_alive)
    first = pid(service)
    assert first is not None

    os.kill(first, signal.SIGSTOP)

    wait(service, lambda: pid(service) not in {None, first} and service.has_been_alive)
    assert not is_alive(first)


def test_a_service_that_runs_on_without_a_heartbeat_is_killed(start: Callable[..., Service], tmp_path: Path) -> None:
    service = start(BEATING)
    wait(service, lambda: service.has_been_alive)
    first = pid(service)

    (tmp_path / "silent").touch()

    wait(service, lambda: pid(service) != first)


def test_a_machine_that_slept_kills_nobody(start: Callable[..., Service], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "SUSPEND_THRESHOLD_SECONDS", 0.5)
    service = start(BEATING, timeout_seconds=1.0)
    wait(service, lambda: service.has_been_alive)
    first = pid(service)
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    looks = iter([0.0, 1.5, 0.0, 0.0])

    def until() -> bool:
        nap = next(looks, None)
        time.sleep(nap or 0)
        return nap is None

    supervise([service], until)
    os.kill(first, signal.SIGCONT)
    wait(service, lambda: service.has_been_alive)

    assert pid(service) == first


def test_silence_while_nobody_listened_kills_nobody(start: Callable[..., Service]) -> None:
    service = start(BEATING, timeout_seconds=0.5)
    wait(service, lambda: service.has_been_alive)
    first = pid(service)
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    time.sleep(1)

    looks = iter([False, False, True])
    supervise([service], lambda: next(looks), every_seconds=0.01)
    os.kill(first, signal.SIGCONT)
    wait(service, lambda: service.liveness.is_alive())

    assert pid(service) == first


def test_a_service_that_ends_at_once_is_started_less_and_less_often(
    start: Callable[..., Service], capsys: pytest.CaptureFixture[str]
) -> None:
    service = start("raise SystemExit(3)")

    wait(service, lambda: service.consecutive_exits == 3)

    said = capsys.readouterr().err
    assert "exited (exit status 3), restarting it in 0.5 s" in said
    assert "restarting it in 1 s" in said
    assert "restarting it in 2 s" in said


def test_what_a_service_started_itself_ends_with_it(start: Callable[..., Service], tmp_path: Path) -> None:
    child = 'import subprocess, sys; p = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]);'
    service = start(child + 'open("child", "w").write(str(p.pid));' + BEATING)
    wait(service, lambda: service.has_been_alive)
    grandchild = int((tmp_path / "child").read_text())
    assert is_alive(grandchild)

    stop([service], immediately=lambda: False)

    deadline = time.monotonic() + 5
    while is_alive(grandchild):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_service_that_ignores_the_request_to_end_is_killed(
    start: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "STOP_TIMEOUT_SECONDS", 0.3)
    service = start("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + BEATING)
    wait(service, lambda: service.has_been_alive)
    first = pid(service)
    assert first is not None

    stop([service], immediately=lambda: False)

    assert not is_alive(first)


def test_warnings_reach_the_terminal_and_everything_the_log(
    start: Callable[..., Service], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = start(
        'print("2026-11-21 22:00:00,000 INFO shoots: all is well"); print("with a second line");'
        'print("2026-11-21 22:00:00,001 WARNING shoots: less so"); print("and why");' + BEATING
    )

    wait(service, lambda: service.has_been_alive)

    said = capsys.readouterr().err
    assert said == "[a] 2026-11-21 22:00:00,001 WARNING shoots: less so\n[a] and why\n"
    assert "all is well" in (tmp_path / "a.log").read_text()


def test_warnings_in_json_reach_the_terminal_too(
    start: Callable[..., Service], capsys: pytest.CaptureFixture[str]
) -> None:
    service = start(
        'print(\'{"level": "INFO", "event": "all is well"}\'); print(\'{"level": "ERROR", "event": "not so"}\');'
        + BEATING
    )

    wait(service, lambda: service.has_been_alive)

    assert capsys.readouterr().err == '[a] {"level": "ERROR", "event": "not so"}\n'


def test_logs_stay_small(
    start: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervision, "MAX_LOG_BYTES", 100_000)
    service = start('print("2026-11-21 22:00:00,000 INFO x")\nfor i in range(60_000): print(i)\n' + BEATING)

    wait(service, lambda: service.has_been_alive)

    assert (tmp_path / "a.log").stat().st_size <= 100_000
    assert sorted(file.name for file in tmp_path.glob("*log*")) == ["a.log", "a.log.1"]


def test_a_knock_that_nobody_answers_is_no_sign_and_does_not_wait(tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    probe = SocketProbe(listener.getsockname(), b"are you there?", rb"yes", seconds=0.05)
    nobody = SocketProbe(str(tmp_path / "nobody.sock"), b"?", rb".", seconds=0.05)

    before = time.monotonic()
    assert not probe.is_alive()
    assert not nobody.is_alive()
    assert time.monotonic() - before < 0.5

    line, _ = listener.accept()
    assert line.recv(100) == b"are you there?"
    line.sendall(b"yes, I am")
    assert probe.is_alive()
    line.close()
    listener.close()
