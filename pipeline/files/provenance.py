"""Read the provenance of any file, hostile ones included, in a limited process (provenance_reader.py)."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PhotoRefused, Reason, SigningFailed
from pipeline.files.signing import Credential, read_credential
from pipeline.files.xmp import image_type, read_source_type
from pipeline.photos.intake import run_isolated

MAX_BYTES = 50 * 1024 * 1024
MEMORY_BYTES = 1536 * 1024 * 1024
# Seconds of a processor, which a signed file of 25 MB takes 0.4 of, and of the clock, should all processors be busy.
CPU_SECONDS = 3
SECONDS = 6.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Provenance:
    """What a file says about how it was made: IPTC's word in its XMP, and its Content Credentials."""

    digital_source: str | None
    credential: Credential | None

    @property
    def source_type(self) -> str | None:
        """IPTC's word for the picture's origin, from its XMP or its credentials."""
        return self.digital_source or (self.credential.digital_source if self.credential else None)


def read_untrusted_provenance(data: bytes) -> Provenance:
    """Return the provenance of any file, hostile ones too.

    Raises PhotoRefused, before a process is started, for anything but a JPEG, PNG or WebP of at most MAX_BYTES, and
    SigningFailed when it cannot be read, or not within the time."""
    if len(data) > MAX_BYTES:
        raise PhotoRefused(Reason.TOO_LARGE)
    if image_type(data) is None:
        raise PhotoRefused(Reason.UNSUPPORTED_FORMAT)
    command = [sys.executable, "-m", "pipeline.files.provenance_reader", str(MEMORY_BYTES), str(CPU_SECONDS)]
    output, status = run_isolated(command, data, SECONDS, ROOT)
    if status != 0 or not output or output == b"null":
        raise SigningFailed("The file's provenance cannot be read.")
    found = json.loads(output)
    credential = found["credential"]
    if credential is not None:
        credential = Credential(**credential | {"faults": tuple(credential["faults"])})
    return Provenance(found["digital_source"], credential)


def read_provenance(data: bytes) -> Provenance:
    """Return what a JPEG, PNG or WebP says about itself. Raises SigningFailed for anything else."""
    if image_type(data) is None:
        raise SigningFailed("The file is not a JPEG, PNG or WebP.")
    return Provenance(read_source_type(data), read_credential(data))
