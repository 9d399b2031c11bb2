"""What an untrusted file says about how it was made, read in a limited process of its own (mark_reader.py)."""

import json
import sys
from pathlib import Path

from pipeline.errors import SigningFailed
from pipeline.finish import Marks
from pipeline.intake import run_apart
from pipeline.signing import Credential

MAX_BYTES = 50 * 1024 * 1024
MEMORY_BYTES = 1536 * 1024 * 1024
SECONDS = 20.0
ROOT = Path(__file__).resolve().parents[1]


def read_marks_apart(data: bytes) -> Marks:
    """The marks of any file, hostile ones too. Raises SigningFailed for what is no picture, too large or too slow."""
    if len(data) > MAX_BYTES:
        raise SigningFailed("The file is too large.")
    command = [sys.executable, "-m", "pipeline.mark_reader", str(MEMORY_BYTES), str(round(2 * SECONDS))]
    output, status = run_apart(command, data, SECONDS, ROOT)
    if status != 0 or not output or output == b"null":
        raise SigningFailed("The file's marks cannot be read.")
    found = json.loads(output)
    credential = found["credential"]
    if credential is not None:
        credential = Credential(**credential | {"faults": tuple(credential["faults"])})
    return Marks(found["digital_source"], credential)
