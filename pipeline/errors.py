"""Errors of the pipeline, and the reason codes they carry.

PipelineError
├── PhotoRefused        a photo cannot be used; `reason` says why, templates hold the words
├── FaceNotFound        a step needs a face where there is none
├── WeightsError        a weight is missing, truncated or not the one that was pinned
│   └── LicenseError    a weight's license does not cover what is done here
├── EngineUnavailable   this engine cannot run here; the text says what is missing
├── DeviceLost          the accelerator stopped answering; only a new process can go on
├── SigningFailed       a picture's credentials cannot be written or read
└── Canceled            the caller's progress callback asked to stop
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a photo or a picture is refused, or what is not ideal about it. Shown by code; words live in templates."""

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
    """Base of everything the pipeline raises on purpose."""


class PhotoRefused(PipelineError):
    """This photo cannot be used."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class FaceNotFound(PipelineError):
    """A step needs a face where there is none."""


class WeightsError(PipelineError):
    """A weight is missing, truncated or not the one that was pinned."""


class LicenseError(WeightsError):
    """A weight's license does not cover what is done here; the text says what would."""


class EngineUnavailable(PipelineError):
    """This engine cannot run here; the text says what is missing."""


class DeviceLost(PipelineError):
    """The accelerator stopped answering; only a new process can go on."""


class SigningFailed(PipelineError):
    """A picture's credentials cannot be written or read."""


class Canceled(PipelineError):
    """The caller's progress callback asked to stop."""
