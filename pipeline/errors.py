"""Exceptions of the pipeline and their reason codes.

PipelineError
├── PhotoRefused        The photo cannot be used. `reason` holds the code, and templates hold the text.
├── FaceNotFound        A step needs a face, but the photo shows none.
├── WeightsError        Model weights are missing, truncated or not the pinned ones.
│   └── LicenseError    The license of the weights does not allow this use.
├── EngineUnavailable   The engine cannot run on this machine. The message names what is missing.
├── NumericalError      A network produced NaN or infinite values. The message names them.
├── DeviceLost          The accelerator stopped responding. The process must be restarted.
├── SigningFailed       Content Credentials cannot be written or read.
└── Canceled            The caller's progress callback stopped the work.
"""

from enum import StrEnum


class Reason(StrEnum):
    """A code for why a photo or picture is refused or gets a warning.

    Templates hold the text of each code."""

    UNREADABLE = "unreadable"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    SEVERAL_PEOPLE = "several_people"
    FACE_TOO_SMALL = "face_too_small"
    FACE_CUT_OFF = "face_cut_off"
    TURNED_AWAY = "turned_away"
    TOO_BLURRY = "too_blurry"
    TOO_DARK = "too_dark"
    OVEREXPOSED = "overexposed"
    COVERED = "covered"
    UNEVEN_LIGHT = "uneven_light"
    TILTED_HEAD = "tilted_head"
    NOT_UPRIGHT = "not_upright"
    CHILD = "child"
    NOT_SAME_PERSON = "not_same_person"
    NOT_ALIKE = "not_alike"
    SKIN_TONE = "skin_tone"
    OVERSATURATED = "oversaturated"
    TOO_ALIKE = "too_alike"


class PipelineError(Exception):
    """Base class of all errors that the pipeline raises on purpose."""


class PhotoRefused(PipelineError):
    """Raised for a photo that cannot be used.

    Attributes:
        reason: code of the reason.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class FaceNotFound(PipelineError):
    """Raised by a step that needs a face if the photo shows none."""


class WeightsError(PipelineError):
    """Raised if model weights are missing, truncated or not the pinned ones."""


class LicenseError(WeightsError):
    """Raised if the license of model weights does not allow this use.

    The message says what would allow it."""


class EngineUnavailable(PipelineError):
    """Raised if the engine cannot run on this machine.

    The message names what is missing."""


class NumericalError(PipelineError):
    """Raised if a network produced NaN or infinite values.

    The message names the values."""


class DeviceLost(PipelineError):
    """Raised if the accelerator stopped responding.

    The process cannot recover and must be restarted."""


class SigningFailed(PipelineError):
    """Raised if a picture's Content Credentials cannot be written or read."""


class Canceled(PipelineError):
    """Raised by a progress callback to stop the work."""
