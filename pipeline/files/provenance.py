"""Read the provenance of any file. The sandboxed process of provenance_reader.py parses untrusted bytes."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PhotoRefused, Reason, SigningFailed
from pipeline.files.signing import Credential, read_credential
from pipeline.files.xmp import image_type, read_source_type
from pipeline.photos.intake import run_isolated

MAX_BYTES = 50 * 1024 * 1024
MEMORY_BYTES = 1536 * 1024 * 1024
# CPU time limit, and wall-clock limit. The second is longer because all cores may be busy. A signed file of 25 MB takes
# 0.4 s of CPU time, and the search for a watermark up to 2 s more.
CPU_SECONDS = 8
SECONDS = 16.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Provenance:
    """The statements of a file about its origin.

    Attributes:
        digital_source: IPTC digital source type from the XMP, or None.
        credential: Content Credentials, or None.
        watermark: name of the engine in the watermark of the pixels, or None. Found only with its key.
    """

    digital_source: str | None
    credential: Credential | None
    watermark: str | None = None

    @property
    def source_type(self) -> str | None:
        """Return the IPTC digital source type from the XMP, or else from the Content Credentials."""
        return self.digital_source or (self.credential.digital_source if self.credential else None)


def read_untrusted_provenance(data: bytes, keys: Sequence[bytes] = (), engines: Sequence[str] = ()) -> Provenance:
    """Return the provenance of an untrusted file, with the watermark of one of these keys and engines.

    Raises PhotoRefused if the file is not a JPEG, PNG or WebP of at most MAX_BYTES. This check starts no process.
    Raises SigningFailed if the provenance cannot be read within the time limit."""
    if len(data) > MAX_BYTES:
        raise PhotoRefused(Reason.TOO_LARGE)
    if image_type(data) is None:
        raise PhotoRefused(Reason.UNSUPPORTED_FORMAT)
    command = [sys.executable, "-m", "pipeline.files.provenance_reader", str(MEMORY_BYTES), str(CPU_SECONDS)]
    # The keys are sent with the file, because other users of the machine can read a command line.
    question = json.dumps({"keys": [key.hex() for key in keys], "engines": list(engines)}).encode()
    output, status = run_isolated(command, question + b"\n" + data, SECONDS, ROOT)
    if status != 0 or not output or output == b"null":
        raise SigningFailed("The file's provenance cannot be read.")
    found = json.loads(output)
    credential = found["credential"]
    if credential is not None:
        credential = Credential(**credential | {"faults": tuple(credential["faults"])})
    return Provenance(found["digital_source"], credential, found["watermark"])


def read_provenance(data: bytes) -> Provenance:
    """Return the provenance of a JPEG, PNG or WebP file.

    Raises SigningFailed for any other file, and if the provenance cannot be read."""
    if image_type(data) is None:
        raise SigningFailed("The file is not a JPEG, PNG or WebP.")
    return Provenance(read_source_type(data), read_credential(data))
