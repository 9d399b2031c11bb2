"""The part of reading marks that touches untrusted bytes: one file on stdin, what it says as JSON on stdout.

A process of its own (`python -m pipeline.mark_reader MEMORY_BYTES CPU_SECONDS`). Like the photo decoder it has given
up opening files and sockets and growing beyond its limits before the first byte is parsed: nothing can be fetched."""

import json
import sys
from contextlib import suppress
from dataclasses import asdict

# All up front: later there is no file descriptor left to import with.
import c2pa  # noqa: F401

from pipeline.decoder.rights import give_up_rights
from pipeline.errors import SigningFailed
from pipeline.finish import read_marks
from pipeline.signing import read_credential


def main(memory_bytes: int, cpu_seconds: int) -> None:
    data = sys.stdin.buffer.read()
    # Threads and tables of the native library, which it makes at its first use.
    with suppress(SigningFailed):
        read_credential(b"")
    give_up_rights(memory_bytes, cpu_seconds)
    try:
        marks = asdict(read_marks(data))
    except SigningFailed:
        marks = None
    sys.stdout.write(json.dumps(marks))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
