"""The sandboxed process that parses provenance: one file on stdin, JSON on stdout.

Run as `python -m pipeline.files.provenance_reader MEMORY_BYTES CPU_SECONDS`. Like the photo decoder, this process
drops its privileges before it parses the first byte. It can then open no files or sockets and cannot exceed its limits,
so it can fetch nothing. stdout is `null` if the provenance cannot be read.
"""

import json
import sys
from contextlib import suppress
from dataclasses import asdict

# Imported up front, because an import needs file descriptors and the process gives up opening any.
import c2pa  # noqa: F401

from pipeline.errors import SigningFailed
from pipeline.files.provenance import read_provenance
from pipeline.files.signing import read_credential
from pipeline.photos.decoder.rights import drop_privileges


def main(memory_bytes: int, cpu_seconds: int) -> None:
    data = sys.stdin.buffer.read()
    # The native library creates its threads and tables at the first use, so use it before dropping privileges.
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
