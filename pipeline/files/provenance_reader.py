"""The sandboxed process that parses provenance: one file on stdin, JSON on stdout.

Run as `python -m pipeline.files.provenance_reader MEMORY_BYTES CPU_SECONDS`. Like the photo decoder, this process
gives up opening files and sockets and growing beyond its limits before it parses the first byte, so nothing can be
fetched.
"""

import json
import sys
from contextlib import suppress
from dataclasses import asdict

# All up front: later there is no file descriptor left to import with.
import c2pa  # noqa: F401

from pipeline.errors import SigningFailed
from pipeline.files.provenance import read_provenance
from pipeline.files.signing import read_credential
from pipeline.photos.decoder.rights import drop_privileges


def main(memory_bytes: int, cpu_seconds: int) -> None:
    data = sys.stdin.buffer.read()
    # Threads and tables of the native library, which it makes at its first use.
    with suppress(SigningFailed):
        read_credential(b"")
    drop_privileges(memory_bytes, cpu_seconds)
    try:
        provenance = asdict(read_provenance(data))
    except SigningFailed:
        provenance = None
    sys.stdout.write(json.dumps(provenance))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
