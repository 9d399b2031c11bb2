"""Turn untrusted bytes into a clean photo, decoded in a sandboxed process (decoder/).

The clean photo is encoded again from pixels, so only the picture itself remains of the upload. There is no EXIF block,
no location, no color profile, no second picture and no trailing data.
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
# Larger than any JPEG of 60 megapixels at our quality. The limit keeps a compromised decoder from filling our memory.
MAX_OUTPUT_BYTES = 200_000_000
JPEG_END = b"\xff\xd9"
REASONS = {b"refused " + reason.value.encode(): reason for reason in Reason}


@dataclass(frozen=True)
class PhotoLimits:
    """The limits for one photo.

    memory_bytes: address space of the decoding process. 60 megapixels of any format fit.
    seconds: processor time. Twice as much wall-clock time is allowed, so that a busy machine refuses no valid photo."""

    max_bytes: int = 25 * 1024 * 1024
    max_pixels: int = 60_000_000
    memory_bytes: int = 1536 * 1024 * 1024
    seconds: float = 8.0


@dataclass(frozen=True)
class CleanPhoto:
    """A photo that is safe to decode anywhere: a JPEG in sRGB, upright, without metadata."""

    data: bytes = field(repr=False)
    width: int
    height: int


def clean_photo(data: bytes, limits: PhotoLimits = PhotoLimits()) -> CleanPhoto:
    """Decode an upload and return a clean photo: upright, opaque, sRGB, only the first of several pictures.

    Accepts JPEG, PNG, WebP and HEIC, recognized by their content. Blocks for about 0.6 s at 12 megapixels.
    Raises PhotoRefused with UNREADABLE, UNSUPPORTED_FORMAT, TOO_LARGE or TOO_SLOW. Raises PipelineError if the decoder
    does not start.
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
        raise PipelineError(f"The photo decoder does not start. To see why, run: {sys.executable} -I {DECODER} 1 1 1")
    raise PhotoRefused(Reason.UNREADABLE)


def run_decoder(data: bytes, limits: PhotoLimits) -> tuple[bytes, int]:
    """Run the decoding process, and return its output and exit status.

    The status is negative if a signal ended the process."""
    numbers = map(str, (limits.max_pixels, limits.memory_bytes, math.ceil(limits.seconds)))
    return run_isolated([sys.executable, "-I", str(DECODER), *numbers], data, 2 * limits.seconds, Path("/"))


def run_isolated(command: list[str], data: bytes, seconds: float, folder: Path) -> tuple[bytes, int]:
    """Run a process that reads all of stdin before it writes, and return its output and exit status.

    Kills the process group after `seconds`, and in any case before returning. The output is cut at MAX_OUTPUT_BYTES."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter, script and numbers
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        # Use one arena, because glibc reserves address space per thread and the limit counts address space.
        env={"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )
    timer = threading.Timer(seconds, end_group, [process.pid])
    timer.start()
    with process:
        assert process.stdin
        assert process.stdout
        try:
            # The process reads everything before it writes, so this cannot deadlock.
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(data)
            output = process.stdout.read(MAX_OUTPUT_BYTES)
        finally:
            timer.cancel()
            timer.join()
            # Kill before waiting for the process, because its id may be reused after that.
            end_group(process.pid)
    return output, process.returncode


def end_group(pid: int) -> None:
    """Kill a process group: its leader and all processes that the leader started.

    Does nothing if the group has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def load_pixels(data: bytes) -> Pixels:
    """Decode a clean photo.

    Accepts only bytes from `clean_photo` or from the pipeline itself.
    Raises PhotoRefused(UNREADABLE) if the bytes are damaged."""
    # OpenCV takes half the memory and a third of the time of Pillow: 0.4 GB and 1.2 s at 60 megapixels.
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise PhotoRefused(Reason.UNREADABLE)
    return np.asarray(pixels, np.uint8)
