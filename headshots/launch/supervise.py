"""Services that are started, listened to, looked after and stopped.

A service is well as long as it gives signs of life: a heart file that is touched, or answers to a knock on its
socket. One that ended is started again, one that went silent is killed first. Nothing here waits for a service, so a
stuck one never keeps the others from being looked after.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from headshots.launch import die_with_parent, say

LOG_BYTES = 1_000_000
# Importing everything on a slow machine, while five others do the same.
START_SECONDS = 180.0
STOP_SECONDS = 10.0
STEADY_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0
# Our own loop comes round ten times a second: a gap means that the machine slept, or that we did something else.
SLEPT_SECONDS = 5.0

# Ours begin with the time, or are JSON that begins with the level; those of libraries in C begin with the level.
_LOG_LINE = re.compile(rb'(?:\d{4}-\d\d-\d\d \S+ |\{"level": ")?(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b')


class HeartFile:
    """A file that its owner touches. What counts is when we saw its time change: clocks of files may jump."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = 0

    def gave_sign(self) -> bool:
        try:
            touched = self._file.stat().st_mtime_ns
        except OSError:
            return False
        if touched == self._seen:
            return False
        self._seen = touched
        return True

    def forget(self) -> None:
        """Before a start: what the one before left behind is no sign of life."""
        self._file.unlink(missing_ok=True)


class Knock:
    """A question to a socket, repeated every `seconds`; the answer is looked for, never waited for.

    address: (host, port), or a unix socket's path. good: what the answer's beginning must match."""

    def __init__(self, address: tuple[str, int] | str, question: bytes, good: bytes, seconds: float) -> None:
        self._address, self._question, self._good, self._seconds = address, question, re.compile(good), seconds
        self._line: socket.socket | None = None
        self._next = 0.0

    def gave_sign(self) -> bool:
        now = time.monotonic()
        if self._line is None and now >= self._next:
            self._line = self._ask()
            # Nobody there yet: a service that just starts is worth asking often.
            self._next = now + (self._seconds if self._line else min(self._seconds, 0.05))
        if self._line is None:
            return False
        try:
            answer = self._line.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            answer = b""
        self.forget()
        return self._good.match(answer) is not None

    def _ask(self) -> socket.socket | None:
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        line = socket.socket(family, socket.SOCK_STREAM)
        try:
            line.settimeout(0.2)
            line.connect(self._address)
            line.sendall(self._question)
        except OSError:
            line.close()
            return None
        line.setblocking(False)
        return line

    def forget(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


class Service:
    """One process and everything below it.

    patience_seconds: how long it may give no sign of life. quiet: what it writes goes to its log only."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        life: HeartFile | Knock,
        patience_seconds: float,
        log: Path,
        folder: Path,
        environment: dict[str, str],
        descriptors: Sequence[int] = (),
        quiet: bool = False,
    ) -> None:
        self.name, self.command, self.life, self.patience_seconds = name, command, life, patience_seconds
        self.log, self.folder, self.environment, self.descriptors, self.quiet = (
            log, folder, environment, descriptors, quiet,
        )  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths_in_a_row = 0
        self.was_well = False
        self._started = self._last_sign = self._start_again = 0.0
        self._shows = True
        self._half_line = b""

    def start(self) -> None:
        self.life.forget()
        self._started = self._last_sign = time.monotonic()
        self.was_well = False
        self._shows = not self.quiet
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=self.descriptors,
            # An own session: Ctrl-C reaches run.py alone, and what it starts itself can be found and ended with it.
            start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    def look_after(self) -> None:
        """One look: take what it wrote, start what ended, kill what went silent."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._start_again:
                self.start()
            return
        self.take_output()
        if self.process.poll() is not None:
            self._ended(now)
        elif self.life.gave_sign():
            self.was_well = True
            self._last_sign = now
        elif now - self._last_sign > (self.patience_seconds if self.was_well else START_SECONDS):
            say(f"[{self.name}] has given no sign of life for {now - self._last_sign:.0f} s: killing it")
            self.send(signal.SIGKILL)

    def silence_was_ours(self) -> None:
        self._last_sign = time.monotonic()

    def _ended(self, now: float) -> None:
        assert self.process is not None
        code = self.process.returncode
        self.bury()
        self.deaths_in_a_row = 1 if now - self._started > STEADY_SECONDS else self.deaths_in_a_row + 1
        pause = min(LONGEST_PAUSE_SECONDS, 0.5 * 2 ** (self.deaths_in_a_row - 1))
        self._start_again = now + pause
        say(f"[{self.name}] ended ({how_it_ended(code)}), starting it again in {pause:g} s; its log: {self.log}")

    def bury(self) -> None:
        """After its end: the last words are kept, and whatever it had started goes with it."""
        if self.process is None:
            return
        self.take_output()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.life.forget()
        self.process = None

    def send(self, number: signal.Signals) -> None:
        """SIGKILL to all below it, anything else to the process itself, which tells its own children."""
        if self.process is None or self.process.poll() is not None:
            return
        if number == signal.SIGKILL:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def take_output(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        while True:
            try:
                piece = os.read(self.process.stdout.fileno(), 65_536)
            except BlockingIOError:
                return
            if not piece:
                return
            self._keep(piece)
            *lines, self._half_line = (self._half_line + piece).split(b"\n")
            for line in lines:
                self._show(line)

    def _keep(self, piece: bytes) -> None:
        if self.log.exists() and self.log.stat().st_size + len(piece) > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            log.write(piece)

    def _show(self, line: bytes) -> None:
        """Warnings and errors reach the terminal, and lines without a level as the one before them did."""
        level = _LOG_LINE.match(line)
        if level and not self.quiet:
            self._shows = level[1] in {b"WARNING", b"ERROR", b"CRITICAL"}
        if self._shows and line.strip():
            say(f"[{self.name}] {line.decode(errors='replace')}")


def how_it_ended(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def look_after(services: Sequence[Service], until: Callable[[], bool], every_seconds: float = 0.1) -> None:
    """Keeps the services alive until `until` says so."""
    last = float("-inf")
    while not until():
        # After a nap, our own or the machine's, nobody's silence means anything.
        if time.monotonic() - last > SLEPT_SECONDS:
            for service in services:
                service.silence_was_ours()
        last = time.monotonic()
        for service in services:
            service.look_after()
        time.sleep(every_seconds)


def stop(services: Sequence[Service], at_once: Callable[[], bool]) -> None:
    """Asks all to end, waits STOP_SECONDS at most (not at all when `at_once`), kills what is left, and all below."""
    for service in services:
        service.send(signal.SIGTERM)
    give_up = time.monotonic() + STOP_SECONDS
    while True:
        alive = [service for service in services if service.process and service.process.poll() is None]
        if not alive or at_once() or time.monotonic() > give_up:
            break
        for service in alive:
            service.take_output()
        time.sleep(0.02)
    for service in services:
        service.send(signal.SIGKILL)
        if service.process is not None:
            service.process.wait()
        service.bury()
