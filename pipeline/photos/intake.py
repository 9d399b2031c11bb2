"""Turn untrusted bytes into a clean photo, decoded in a sandboxed process (decoder/).

What comes back was encoded anew from pixels, so nothing of the upload survives but the picture: no EXIF, no
position, no color profile, no second picture, no tail.
"""

import math
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.errors import PhotoRefused, PipelineError, Reason
from pipeline.types import Pixels

DECODER = Path(__file__).with_name("decoder")
# More than any JPEG of 60 megapixels at our quality; a decoder that was taken over cannot fill our memory.
MAX_OUTPUT_BYTES = 200_000_000
JPEG_END = b"\xff\xd9"
REASONS = {b"refused " + reason.value.encode(): reason for reason in Reason}


@dataclass(frozen=True)
class PhotoLimits:
    """What a photo may cost. The memory is address space of the decoding process, 60 megapixels of any format fit.

    seconds: of processor time, and twice as many on the clock, so that a busy machine refuses no honest photo."""

    max_bytes: int = 25 * 1024 * 1024
    max_pixels: int = 60_000_000
    memory_bytes: int = 1536 * 1024 * 1024
    seconds: float = 8.0


@dataclass(frozen=True)
class CleanPhoto:
    """A photo that may be decoded anywhere: a JPEG in sRGB, upright, without metadata."""

    data: bytes = field(repr=False)
    width: int
    height: int


def clean_photo(data: bytes, limits: PhotoLimits = PhotoLimits()) -> CleanPhoto:
    """The upload as a clean photo: upright, opaque, sRGB, the first picture of several, everything else dropped.

    JPEG, PNG, WebP and HEIC are let in, known by their content. Blocks for about 0.6 s at 12 megapixels.
    Raises PhotoRefused with UNREADABLE, UNSUPPORTED_FORMAT, TOO_LARGE or TOO_SLOW, whatever the bytes are.
    """
    if not data:
        raise PhotoRefused(Reason.UNREADABLE)
    if len(data) > limits.max_bytes:
        raise PhotoRefused(Reason.TOO_LARGE)
    output, exit_status = run_decoder(data, limits)
    ready, _, answer = output.partition(b"\n")
    words, _, jpeg = answer.partition(b"\n")
    photo = re.fullmatch(rb"photo (\d{1,5}) (\d{1,5})", words)
    if photo and jpeg.endswith(JPEG_END):
        return CleanPhoto(jpeg, int(photo[1]), int(photo[2]))
    if words in REASONS:
        raise PhotoRefused(REASONS[words])
    if len(output) == MAX_OUTPUT_BYTES:
        raise PhotoRefused(Reason.TOO_LARGE)
    if exit_status in (-signal.SIGKILL, -signal.SIGXCPU):
        raise PhotoRefused(Reason.TOO_SLOW)
    if ready != b"ready":
        raise PipelineError(f"The photo decoder does not start; to see why: {sys.executable} -I {DECODER} 1 1 1")
    raise PhotoRefused(Reason.UNREADABLE)


def run_decoder(data: bytes, limits: PhotoLimits) -> tuple[bytes, int]:
    """What the decoding process wrote, and its exit status (minus the signal that ended it, if one did)."""
    numbers = map(str, (limits.max_pixels, limits.memory_bytes, math.ceil(limits.seconds)))
    return run_isolated([sys.executable, "-I", str(DECODER), *numbers], data, 2 * limits.seconds, Path("/"))


def run_isolated(command: list[str], data: bytes, seconds: float, folder: Path) -> tuple[bytes, int]:
    """What a process that reads all of stdin first wrote within the time, and its exit status; nothing outlives it."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter, script and numbers
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        # One arena: glibc reserves address space by the thread, and that is what is limited.
        env={"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )
    timer = threading.Timer(seconds, end_group, [process.pid])
    timer.start()
    with process:
        assert process.stdin
        assert process.stdout
        try:
            # It reads everything before it writes anything, so this cannot lock up.
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(data)
            output = process.stdout.read(MAX_OUTPUT_BYTES)
        finally:
            timer.cancel()
            timer.join()
            # Before it is waited for, while its number is certainly its own.
            end_group(process.pid)
    return output, process.returncode


def end_group(pid: int) -> None:
    """Kills a process that leads its own group, and all that it may have started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def load_pixels(data: bytes) -> Pixels:
    """The pixels of a clean photo. Only for bytes that came from `clean_photo` or from the pipeline itself.

    Raises PhotoRefused(UNREADABLE) should they be damaged."""
    # Half the memory and a third of the time that Pillow takes: 0.4 GB and 1.2 s at 60 megapixels.
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise PhotoRefused(Reason.UNREADABLE)
    return np.asarray(pixels, np.uint8)
