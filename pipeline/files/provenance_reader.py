"""The sandboxed process that parses provenance. Reads one file from stdin, writes JSON to stdout.

Run as `python -m pipeline.files.provenance_reader MEMORY_BYTES CPU_SECONDS`. Like the photo decoder, the process drops
its privileges before it parses the first byte. Afterward it cannot open files or sockets and cannot exceed its limits.
Therefore it cannot fetch anything over the network. The output is `null` if the provenance cannot be read.
"""

import json
import sys
from contextlib import suppress
from dataclasses import asdict

# Imported before privileges are dropped. Afterward the process cannot open the files that an import needs.
import c2pa  # noqa: F401

from pipeline.errors import SigningFailed
from pipeline.files.provenance import read_provenance
from pipeline.files.signing import read_credential
from pipeline.photos.decoder.rights import drop_privileges


def main(memory_bytes: int, cpu_seconds: int) -> None:
    data = sys.stdin.buffer.read()
    # Use the native library once before privileges are dropped, because the first use creates its threads and tables.
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
