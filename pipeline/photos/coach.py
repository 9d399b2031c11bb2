"""The photo coach: score a photo, and select the one or two most helpful tips.

The same score ranks the photos, weights their embeddings and is shown to customers. Therefore the advice is consistent
with the way in which photos are used.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pipeline.errors import Reason
from pipeline.faces.resolution import ENLARGED_DETAIL, has_detail_for_4k
from pipeline.photos import rules
from pipeline.types import Measurements, Status


class Tip(StrEnum):
    """A code for a tip toward a better photo.

    Templates hold the text of each code."""

    LEAVE_ROOM = "leave_room"
    COME_CLOSER = "come_closer"
    LOOK_INTO_CAMERA = "look_into_camera"
    FACE_THE_WINDOW = "face_the_window"
    LEAVE_HARD_LIGHT = "leave_hard_light"
    HOLD_STILL = "hold_still"
    UNCOVER_FACE = "uncover_face"
    HEAD_UPRIGHT = "head_upright"
    CAMERA_AT_EYE_LEVEL = "camera_at_eye_level"
    SEND_ORIGINAL = "send_original"
    SHARPER_FOR_4K = "sharper_for_4k"


@dataclass(frozen=True)
class Advice:
    """The coach's advice on one photo.

    Attributes:
        score: 0 to 100.
        tips: at most two, the most helpful first, and at most one more about the resolution. Empty if the photo has no
            relevant fault.
    """

    score: int
    tips: tuple[Tip, ...]


MAX_TIPS = 2
# Tips that repeat a reason of the verdict. Pages use this table to avoid giving the same advice twice.
TIP_FOR_REASON: dict[Reason, Tip] = {
    Reason.FACE_CUT_OFF: Tip.LEAVE_ROOM,
    Reason.FACE_TOO_SMALL: Tip.COME_CLOSER,
    Reason.TURNED_AWAY: Tip.LOOK_INTO_CAMERA,
    Reason.TOO_DARK: Tip.FACE_THE_WINDOW,
    Reason.UNEVEN_LIGHT: Tip.FACE_THE_WINDOW,
    Reason.OVEREXPOSED: Tip.LEAVE_HARD_LIGHT,
    Reason.TOO_BLURRY: Tip.HOLD_STILL,
    Reason.COVERED: Tip.UNCOVER_FACE,
    Reason.TILTED_HEAD: Tip.HEAD_UPRIGHT,
    Reason.NOT_UPRIGHT: Tip.HEAD_UPRIGHT,
}
# Measurements with at least this value (0..1) need no tip.
GOOD_ENOUGH = 0.85
# Range of the score for each status. A refused photo scores below all photos with a warning, and these score below all
# accepted photos.
BANDS = {Status.REFUSED: (0, 39), Status.WARNED: (40, 69), Status.ACCEPTED: (70, 100)}

_REFUSED, _WARNED = 0.3, 0.65
# Each scale maps a measurement to a value, 0..1, by linear interpolation between (measurement, value) points. The
# limits of the photo rules have the values _WARNED and _REFUSED. docs/benchmarks.md has the source of the measurements
# with the value 1.
_Scale = tuple[tuple[float, float], ...]
_OUTSIDE: _Scale = ((0, 1), (rules.OUTSIDE_WARN, _WARNED), (rules.OUTSIDE_REFUSE, _REFUSED), (0.5, 0))
_NARROWNESS: _Scale = ((1 / 320, 1), (1 / 200, 0.8), (1 / rules.MIN_FACE_WIDTH_PX, _WARNED), (1 / 50, 0))
_YAW: _Scale = ((10, 1), (rules.YAW_WARN_DEGREES, _WARNED), (rules.YAW_REFUSE_DEGREES, _REFUSED), (90, 0))
_DARKNESS: _Scale = ((-68, 1), (-rules.DARK_WARN, _WARNED), (-rules.DARK_REFUSE, _REFUSED), (-10, 0))
_UNEVENNESS: _Scale = ((18, 1), (rules.ASYMMETRY_WARN, _WARNED), (90, _REFUSED))
_OVEREXPOSED: _Scale = ((0.01, 1), (rules.OVEREXPOSED_WARN, _WARNED), (rules.OVEREXPOSED_REFUSE, _REFUSED), (0.6, 0))
_BLUR: _Scale = ((-0.36, 1), (-rules.SHARPNESS_WARN, _WARNED), (-rules.SHARPNESS_REFUSE, _REFUSED), (0, 0))
_COVERED: _Scale = ((0.6, 1), (rules.OCCLUSION_WARN, _WARNED), (rules.OCCLUSION_REFUSE, _REFUSED), (2.5, 0))
_ROLL: _Scale = ((12, 1), (rules.ROLL_WARN_DEGREES, _WARNED), (rules.ROLL_REFUSE_DEGREES, _REFUSED), (90, 0))
_PITCH: _Scale = ((8, 1), (rules.PITCH_WARN_DEGREES, _WARNED), (45, _REFUSED))


def advise(face: Measurements) -> Advice:
    """Return the score of a photo and tips to improve it. face: the person's face."""
    worth = _worths(face)
    weak_spots = sorted((value, tip) for tip, value in worth.items() if value < GOOD_ENOUGH)
    low, high = BANDS[rules.judge([face], chosen=0).status]
    # The worst value has the highest weight. The mean ranks photos that have the same worst value.
    raw = 100 * (0.75 * min(worth.values()) + 0.25 * sum(worth.values()) / len(worth))
    tips = tuple(tip for _, tip in weak_spots[:MAX_TIPS])
    return Advice(round(min(high, max(low, raw))), tips + _resolution_tips(face))


def _resolution_tips(face: Measurements) -> tuple[Tip, ...]:
    """Return the tip for a photo with less detail than pixels.

    Such a photo is good enough for small headshots. Therefore it changes neither the verdict nor the score."""
    if face.face_width_px < rules.MIN_FACE_WIDTH_PX:
        # Refused for its size, which has its own tip.
        return ()
    if not has_detail_for_4k(face.face_width_px, face.detail_share):
        return (Tip.SHARPER_FOR_4K,)
    return (Tip.SEND_ORIGINAL,) if face.detail_share < ENLARGED_DETAIL else ()


def _worths(face: Measurements) -> dict[Tip, float]:
    """Return the value of the photo, 0..1, for the aspect that each tip would improve."""
    light = min(_at(-face.lightness_p95, _DARKNESS), _at(face.light_asymmetry, _UNEVENNESS))
    return {
        Tip.LEAVE_ROOM: _at(face.outside_share, _OUTSIDE),
        Tip.COME_CLOSER: _at(1 / max(face.face_width_px, 1), _NARROWNESS),
        Tip.LOOK_INTO_CAMERA: _at(abs(face.yaw_degrees), _YAW),
        Tip.FACE_THE_WINDOW: light,
        Tip.LEAVE_HARD_LIGHT: _at(face.overexposed_share, _OVEREXPOSED),
        Tip.HOLD_STILL: _at(-face.sharpness, _BLUR),
        Tip.UNCOVER_FACE: _at(face.occlusion, _COVERED),
        Tip.HEAD_UPRIGHT: _at(abs(face.roll_degrees), _ROLL),
        Tip.CAMERA_AT_EYE_LEVEL: _at(abs(face.pitch_degrees - rules.LEVEL_PITCH_DEGREES), _PITCH),
    }


def _at(value: float, scale: _Scale) -> float:
    values, worths = zip(*scale, strict=True)
    return float(np.interp(value, values, worths))
