"""The sandboxed decoding process. Reads one photo from stdin, and writes one clean JPEG to stdout.

Run as `python -I FOLDER MAX_PIXELS MEMORY_BYTES CPU_SECONDS`. The process only detects the format before it drops its
privileges (rights.py). Then it decodes the photo.

The output is the line `ready`, followed by either `refused REASON`, or `photo WIDTH HEIGHT`, a newline and the JPEG.
"""

import sys
from pathlib import Path

# `python -I` adds only this folder to the import path, but the modules import each other by their full names.
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
    # Import all modules first. After the process has dropped its privileges, it cannot open the files that an import
    # needs.
    load_codecs(data)
    with capture_warnings() as warnings:
        drop_privileges(memory_bytes, cpu_seconds)
        sys.stdout.buffer.write(b"ready\n")
        sys.stdout.buffer.flush()
        sys.stdout.buffer.write(answer(data, max_pixels, warnings))
        sys.stdout.buffer.flush()


def answer(data: bytes, max_pixels: int, warnings: Warnings) -> bytes:
    """Decode a photo, and return the output for it (see the module docstring) without the line `ready`."""
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
        # Decoders can raise any exception for hostile bytes. All of them mean that the photo is unreadable.
        return refusal(Reason.UNREADABLE)


def refusal(reason: Reason) -> bytes:
    """Return the output for a refused photo."""
    return b"refused " + reason.value.encode()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
