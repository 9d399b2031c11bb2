"""What an untrusted file says about how it was made, read in a limited process of its own (mark_reader.py)."""

import json
import sys
from pathlib import Path

from pipeline.errors import PhotoRefused, Reason, SigningFailed
from pipeline.finish import Marks
from pipeline.intake import run_apart
from pipeline.signing import Credential
from pipeline.xmp import image_type

MAX_BYTES = 50 * 1024 * 1024
MEMORY_BYTES = 1536 * 1024 * 1024
# Seconds of a processor, which a signed file of 25 MB takes 0.4 of, and of the clock, should all processors be busy.
CPU_SECONDS = 3
SECONDS = 6.0
ROOT = Path(__file__).resolve().parents[1]


def read_marks_apart(data: bytes) -> Marks:
    """Return the marks of any file, hostile ones too.

    Raises PhotoRefused, before a process is started, for anything but a JPEG, PNG or WebP of at most MAX_BYTES, and
    SigningFailed when the marks cannot be read or not within the time."""
    if len(data) > MAX_BYTES:
        raise PhotoRefused(Reason.TOO_LARGE)
    if image_type(data) is None:
        raise PhotoRefused(Reason.UNSUPPORTED_FORMAT)
    command = [sys.executable, "-m", "pipeline.mark_reader", str(MEMORY_BYTES), str(CPU_SECONDS)]
    output, status = run_apart(command, data, SECONDS, ROOT)
    if status != 0 or not output or output == b"null":
        raise SigningFailed("The file's marks cannot be read.")
    found = json.loads(output)
    credential = found["credential"]
    if credential is not None:
        credential = Credential(**credential | {"faults": tuple(credential["faults"])})
    return Marks(found["digital_source"], credential)
