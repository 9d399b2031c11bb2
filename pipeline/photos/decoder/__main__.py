"""The sandboxed decoding process: one photo on stdin, one clean JPEG on stdout.

Run as `python -I FOLDER MAX_PIXELS MEMORY_BYTES CPU_SECONDS`. The process drops its privileges (rights.py) before it
decodes the photo. Before that it only detects the format.

stdout: the line `ready`, then either `refused REASON` or `photo WIDTH HEIGHT`, a newline and the JPEG.
"""

import sys
from pathlib import Path

# `python -I` puts only this folder on the path. Its modules import each other by their full names.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from PIL import Image

from pipeline.errors import Reason
from pipeline.photos.decoder.damage import TooManyScans
from pipeline.photos.decoder.images import (
    TooLarge,
    UnsupportedFormat,
    Warnings,
    capture_warnings,
    encode,
    load_codecs,
    read_image,
)
from pipeline.photos.decoder.rights import drop_privileges


def main(max_pixels: int, memory_bytes: int, cpu_seconds: int) -> None:
    """Decode the photo on stdin and write the answer to stdout."""
    data = sys.stdin.buffer.read()
    # Import everything up front, because an import needs file descriptors and the process gives up opening any.
    load_codecs(data)
    with capture_warnings() as warnings:
        drop_privileges(memory_bytes, cpu_seconds)
        sys.stdout.buffer.write(b"ready\n")
        sys.stdout.buffer.flush()
        sys.stdout.buffer.write(answer(data, max_pixels, warnings))
        sys.stdout.buffer.flush()


def answer(data: bytes, max_pixels: int, warnings: Warnings) -> bytes:
    """Return the answer for a photo in the format of the module's docstring, without the line `ready`."""
    try:
        image = read_image(data, max_pixels, warnings)
        return b"photo %d %d\n" % image.size + encode(image)
    except UnsupportedFormat:
        return refusal(Reason.UNSUPPORTED_FORMAT)
    except TooManyScans:
        return refusal(Reason.TOO_SLOW)
    except (TooLarge, Image.DecompressionBombError, MemoryError):
        return refusal(Reason.TOO_LARGE)
    except Exception:
        # Decoders can raise any exception for hostile bytes, and all mean that the photo is unreadable.
        return refusal(Reason.UNREADABLE)


def refusal(reason: Reason) -> bytes:
    """Return the answer for a refused photo."""
    return b"refused " + reason.value.encode()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
