"""What a photo that takes the decoder over can still do: nothing to files, processes and the memory of others."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="system calls of Linux")

ROOT = Path(__file__).resolve().parents[3]
# Runs inside a process that has given up its rights: each attempt as a line, `done` or the error's name.
ATTEMPTS = """
import ctypes, os, socket, struct, sys, resource
sys.path.insert(0, {root!r})
from pipeline.photos.decoder import rights
libc = ctypes.CDLL(None, use_errno=True)
parent, address, size = os.getppid(), int(sys.argv[1]), int(sys.argv[2])
copy = ctypes.create_string_buffer(size)
local = struct.pack("@PN", ctypes.addressof(copy), size)
remote = struct.pack("@PN", address, size)

def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return copy.raw if number == numbers["read"] else None

numbers = dict(x86_64=dict(read=310, ptrace=101), aarch64=dict(read=270, ptrace=117))[os.uname().machine]

def with_closed_input(attempt):
    os.close(0)
    return attempt()

one = ctypes.c_ulong(1)
rights.drop_privileges(2**31, 10)
attempts = dict(
    memory=lambda: call(numbers["read"], parent, local, one, remote, one, ctypes.c_ulong(0)),
    trace=lambda: call(numbers["ptrace"], 16, parent, 0, 0),
    signal=lambda: os.kill(parent, 0),
    fork=os.fork,
    execute=lambda: os.execv("/bin/true", ["true"]),
    limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9)),
    file=lambda: with_closed_input(lambda: open(f"/proc/{{parent}}/mem", "rb")),
    socket=socket.socket,
)
for name, attempt in attempts.items():
    try:
        attempt()
        sys.stdout.write(f"{{name}} done\\n")
    except Exception as error:
        sys.stdout.write(f"{{name}} {{type(error).__name__}}\\n")
sys.stdout.flush()
"""


def test_a_decoder_cannot_read_its_parents_memory_or_touch_anything_else():
    secret = ctypes.create_string_buffer(b"a face")
    address = ctypes.addressof(secret)

    tried = subprocess.run(
        [sys.executable, "-c", ATTEMPTS.format(root=str(ROOT)), str(address), str(len(secret))],
        capture_output=True,
        text=True,
        check=True,
    )

    answers = dict(line.split() for line in tried.stdout.splitlines())
    assert answers.keys() == {"memory", "trace", "signal", "fork", "execute", "limits", "file", "socket"}
    assert {name for name, answer in answers.items() if answer == "done"} == set()
