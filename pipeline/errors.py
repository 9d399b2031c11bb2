"""Errors of the pipeline, and the reason codes they carry.

PipelineError
├── PhotoRefused        A photo cannot be used. `reason` is the code, and templates have the text.
├── FaceNotFound        A step needs a face and found none.
├── WeightsError        A weight is missing, truncated or different from the pinned one.
│   └── LicenseError    The license of a weight does not cover this use.
├── EngineUnavailable   An engine cannot run here. The text names what is missing.
├── DeviceLost          The accelerator stopped answering. The process has to be restarted.
├── SigningFailed       A picture's credentials cannot be written or read.
└── Canceled            The caller's progress callback asked to stop.
"""

from enum import StrEnum


class Reason(StrEnum):
    """A reason to refuse a photo or a picture, or to warn about one.

    Templates hold the text for each code."""

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
    NOT_SAME_PERSON = "not_same_person"
    NOT_ALIKE = "not_alike"
    SKIN_TONE = "skin_tone"
    OVERSATURATED = "oversaturated"
    TOO_ALIKE = "too_alike"


class PipelineError(Exception):
    """The base class of all errors that the pipeline raises on purpose."""


class PhotoRefused(PipelineError):
    """The photo cannot be used."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class FaceNotFound(PipelineError):
    """A step needs a face and found none."""


class WeightsError(PipelineError):
    """A weight is missing, truncated or differs from the pinned one."""


class LicenseError(WeightsError):
    """A weight's license does not cover this use.

    The text names what would."""


class EngineUnavailable(PipelineError):
    """The engine cannot run here.

    The text names what is missing."""


class DeviceLost(PipelineError):
    """The accelerator stopped answering.

    The process has to be restarted."""


class SigningFailed(PipelineError):
    """A picture's credentials cannot be written or read."""


class Canceled(PipelineError):
    """The caller's progress callback asked to stop."""
