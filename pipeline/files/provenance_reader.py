"""The sandboxed process that reads provenance. Reads a question and one file from stdin, writes JSON to stdout.

Run as `python -m pipeline.files.provenance_reader MEMORY_BYTES CPU_SECONDS`. The first line of stdin is JSON with the
keys and engines of watermarks, the rest is the file. Like the photo decoder, the process drops its privileges before it
parses the first byte of the file. Afterward it cannot open files or sockets and cannot exceed its limits. Therefore it
cannot fetch anything over the network. The output is `null` if the provenance cannot be read.
"""

import io
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace

# Imported before privileges are dropped. Afterward the process cannot open the files that an import needs.
import c2pa  # noqa: F401
import cv2
import numpy as np
from PIL import Image, ImageOps

from pipeline.errors import SigningFailed
from pipeline.files.provenance import read_provenance
from pipeline.files.signing import read_credential
from pipeline.files.watermark import embed, find_watermark
from pipeline.photos.decoder.rights import drop_privileges

MAX_PIXELS = 60_000_000


def main(memory_bytes: int, cpu_seconds: int) -> None:
    question, _, data = sys.stdin.buffer.read().partition(b"\n")
    asked = json.loads(question)
    keys = [bytes.fromhex(key) for key in asked["keys"]]
    # Use the native libraries once before privileges are dropped. The first use creates their threads and tables.
    cv2.setNumThreads(1)
    Image.init()
    with suppress(SigningFailed):
        read_credential(b"")
    embed(np.zeros((64, 64, 3), np.uint8), b"any", "any")
    drop_privileges(memory_bytes, cpu_seconds)
    try:
        found = read_provenance(data)
        provenance = asdict(replace(found, watermark=read_watermark(data, keys, asked["engines"])))
    except SigningFailed:
        provenance = None
    sys.stdout.write(json.dumps(provenance))


def read_watermark(data: bytes, keys: Sequence[bytes], engines: Sequence[str]) -> str | None:
    """Return the engine in the watermark of a picture, or None if none is found or the file cannot be decoded."""
    if not keys:
        return None
    # Decoders can raise any exception for hostile bytes.
    with suppress(Exception):
        image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP"))
        if image.width * image.height <= MAX_PIXELS:
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            found = find_watermark(pixels, keys, engines)
            return found.engine if found else None
    return None


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
