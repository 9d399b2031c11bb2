"""Start, watch, restart and stop the product's processes.

A service is alive while its heartbeat file is touched, or while it answers requests to its socket. A service that has
ended is restarted. A service that has stopped responding is killed first. The supervision loop never waits for a
service, so a stuck one does not affect the others.
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

from headshots.launch import die_with_parent, echo

MAX_LOG_BYTES = 1_000_000
# Enough for a process that imports everything on a slow machine while five others do the same.
START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 10.0
STABLE_AFTER_SECONDS = 60.0
MAX_RESTART_DELAY_SECONDS = 30.0
# The loop runs about ten times per second. A longer gap means that the machine was suspended or run.py was busy.
SUSPEND_THRESHOLD_SECONDS = 5.0

# Lines of the product begin with the time, or are JSON that begins with the level. Lines of C libraries begin with
# the level.
_LOG_LINE = re.compile(rb'(?:\d{4}-\d\d-\d\d \S+ |\{"level": ")?(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b')


class HeartbeatFile:
    """A file that a live process touches regularly.

    The file's time is only compared with its last value, never with a clock, because clocks can jump."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = 0

    def is_alive(self) -> bool:
        try:
            touched = self._file.stat().st_mtime_ns
        except OSError:
            return False
        if touched == self._seen:
            return False
        self._seen = touched
        return True

    def reset(self) -> None:
        """Remove the file of the previous process."""
        self._file.unlink(missing_ok=True)


class SocketProbe:
    """A request to a socket, repeated every `seconds`, whose answer is polled without blocking.

    address: (host, port), or the path of a Unix socket. expected: regular expression for the start of the answer."""

    def __init__(self, address: tuple[str, int] | str, request: bytes, expected: bytes, seconds: float) -> None:
        self._address, self._request, self._expected, self._seconds = address, request, re.compile(expected), seconds
        self._connection: socket.socket | None = None
        self._next = 0.0

    def is_alive(self) -> bool:
        now = time.monotonic()
        if self._connection is None and now >= self._next:
            self._connection = self._connect()
            # The service does not listen yet, so try again soon.
            self._next = now + (self._seconds if self._connection else min(self._seconds, 0.05))
        if self._connection is None:
            return False
        try:
            answer = self._connection.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            answer = b""
        self.reset()
        return self._expected.match(answer) is not None

    def _connect(self) -> socket.socket | None:
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        line = socket.socket(family, socket.SOCK_STREAM)
        try:
            line.settimeout(0.2)
            line.connect(self._address)
            line.sendall(self._request)
        except OSError:
            line.close()
            return None
        line.setblocking(False)
        return line

    def reset(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Service:
    """One process and its children.

    timeout_seconds: limit without a sign of life, after the first one. quiet: True to write the output to the log only.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        liveness: HeartbeatFile | SocketProbe,
        timeout_seconds: float,
        log: Path,
        folder: Path,
        environment: dict[str, str],
        descriptors: Sequence[int] = (),
        quiet: bool = False,
    ) -> None:
        self.name, self.command, self.liveness, self.timeout_seconds = name, command, liveness, timeout_seconds
        self.log, self.folder, self.environment, self.descriptors, self.quiet = (
            log, folder, environment, descriptors, quiet,
        )  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None
        self.consecutive_exits = 0
        self.has_been_alive = False
        self._started = self._last_alive_at = self._restart_at = 0.0
        self._is_shown = True
        self._half_line = b""

    def start(self) -> None:
        self.liveness.reset()
        self._started = self._last_alive_at = time.monotonic()
        self.has_been_alive = False
        self._is_shown = not self.quiet
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=self.descriptors,
            # In its own session, the process gets no Ctrl-C, and all its children can be killed as one group.
            start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    def check(self) -> None:
        """Read the output, restart the process if it has ended, kill it if it has timed out."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._restart_at:
                self.start()
            return
        self.read_output()
        if self.process.poll() is not None:
            self._on_exit(now)
        elif self.liveness.is_alive():
            self.has_been_alive = True
            self._last_alive_at = now
        elif now - self._last_alive_at > (self.timeout_seconds if self.has_been_alive else START_TIMEOUT_SECONDS):
            echo(f"[{self.name}] no heartbeat for {now - self._last_alive_at:.0f} s, killing it")
            self.send(signal.SIGKILL)

    def reset_timeout(self) -> None:
        self._last_alive_at = time.monotonic()

    def _on_exit(self, now: float) -> None:
        assert self.process is not None
        code = self.process.returncode
        self.cleanup()
        self.consecutive_exits = 1 if now - self._started > STABLE_AFTER_SECONDS else self.consecutive_exits + 1
        pause = min(MAX_RESTART_DELAY_SECONDS, 0.5 * 2 ** (self.consecutive_exits - 1))
        self._restart_at = now + pause
        echo(f"[{self.name}] exited ({describe_exit(code)}), restarting it in {pause:g} s. Log: {self.log}")

    def cleanup(self) -> None:
        """Clean up after the process has exited: drain its output and kill any remaining children."""
        if self.process is None:
            return
        self.read_output()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.liveness.reset()
        self.process = None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is running.

        SIGKILL goes to the children as well. For other signals, the process ends its own children."""
        if self.process is None or self.process.poll() is not None:
            return
        if number == signal.SIGKILL:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def read_output(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        while True:
            try:
                piece = os.read(self.process.stdout.fileno(), 65_536)
            except BlockingIOError:
                return
            if not piece:
                return
            self._append_to_log(piece)
            *lines, self._half_line = (self._half_line + piece).split(b"\n")
            for line in lines:
                self._print_line(line)

    def _append_to_log(self, piece: bytes) -> None:
        if self.log.exists() and self.log.stat().st_size + len(piece) > MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            log.write(piece)

    def _print_line(self, line: bytes) -> None:
        """Print a line of output on the terminal if it is a warning or an error.

        A line without a level is treated like the line before it. Output of a quiet service is not printed."""
        level = _LOG_LINE.match(line)
        if level and not self.quiet:
            self._is_shown = level[1] in {b"WARNING", b"ERROR", b"CRITICAL"}
        if self._is_shown and line.strip():
            echo(f"[{self.name}] {line.decode(errors='replace')}")


def describe_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def supervise(services: Sequence[Service], until: Callable[[], bool], every_seconds: float = 0.1) -> None:
    """Keep the services alive until `until` returns True."""
    last = float("-inf")
    while not until():
        # After a pause of this loop (machine suspended, or busy elsewhere), missed heartbeats prove nothing.
        if time.monotonic() - last > SUSPEND_THRESHOLD_SECONDS:
            for service in services:
                service.reset_timeout()
        last = time.monotonic()
        for service in services:
            service.check()
        time.sleep(every_seconds)


def stop(services: Sequence[Service], immediately: Callable[[], bool]) -> None:
    """Stop all services: send SIGTERM, wait, then kill those that still run.

    Waits at most STOP_TIMEOUT_SECONDS, and no longer once `immediately` returns True."""
    for service in services:
        service.send(signal.SIGTERM)
    give_up = time.monotonic() + STOP_TIMEOUT_SECONDS
    while True:
        alive = [service for service in services if service.process and service.process.poll() is None]
        if not alive or immediately() or time.monotonic() > give_up:
            break
        for service in alive:
            service.read_output()
        time.sleep(0.02)
    for service in services:
        service.send(signal.SIGKILL)
        if service.process is not None:
            service.process.wait()
        service.cleanup()
