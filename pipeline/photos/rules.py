"""The photo rules: derive a verdict with reason codes from measurements. Pure functions.

The limits were chosen with 38 faces in 24 photos, which were also blurred, darkened, overexposed, covered, cropped and
shrunk (docs/benchmarks.md).
"""

from collections.abc import Sequence
from enum import IntEnum

from pipeline.errors import FaceNotFound, Reason
from pipeline.faces.measure import PhotoMeasurements
from pipeline.types import Measurements, Status, Verdict

# A face narrower than this fraction of the widest face is in the background. It counts only if the rules do not refuse
# it.
BACKGROUND_SHARE = 0.35

# Face recognition aligns faces to 112 px. Faces below this width reduce the likeness.
MIN_FACE_WIDTH_PX = 112
OUTSIDE_WARN, OUTSIDE_REFUSE = 0.005, 0.05
YAW_WARN_DEGREES, YAW_REFUSE_DEGREES = 25, 40
# The mesh of a level head has a pitch of 5 degrees.
LEVEL_PITCH_DEGREES, PITCH_WARN_DEGREES = 5, 15
# Rotating a portrait by more than 25 degrees is visible. Beyond 45 degrees the photo is not upright.
ROLL_WARN_DEGREES, ROLL_REFUSE_DEGREES = 25, 45
SHARPNESS_WARN, SHARPNESS_REFUSE = 0.22, 0.15
# Limits for the brightest part of the face (95th percentile of L), so that dark skin in good light does not count as
# too dark.
DARK_WARN, DARK_REFUSE = 45, 40
OVEREXPOSED_WARN, OVEREXPOSED_REFUSE = 0.08, 0.20
ASYMMETRY_WARN = 45
OCCLUSION_WARN, OCCLUSION_REFUSE = 1.0, 1.75
# 186 faces of adults have at most 0.11. Six of ten children have at least 0.74 (docs/benchmarks.md).
MAX_CHILD_SHARE = 0.5

# Sharpness limit for photos without a face. Sharp photos have at least 0.08. Photos blurred by a hundredth of their
# edge have at most 0.014.
PHOTO_BLURRED = 0.03
PHOTO_OVEREXPOSED = 0.3
# A picture below this contrast is blank, and is reported neither as blurred nor as overexposed.
MIN_PHOTO_CONTRAST = 8.0


class _Grade(IntEnum):
    FINE = 0
    WARN = 1
    REFUSE = 2


def judge(measurements: Sequence[Measurements], chosen: int | None = None, *, ask_first: bool = False) -> Verdict:
    """Return the verdict on a photo with these faces.

    The status is CHOOSE_FACE if several faces could be the person's and at least one of them is usable.

    Args:
        measurements: measurements of each face.
        chosen: index of the person's face, or None if it is not known.
        ask_first: True to count background faces as well. Customers can request this.

    Raises FaceNotFound if the face `chosen` does not exist.
    """
    if chosen is not None:
        if not 0 <= chosen < len(measurements):
            raise FaceNotFound(f"no face {chosen} in a photo with {len(measurements)}")
        return _judge_face(measurements[chosen], chosen)
    if not measurements:
        return Verdict(Status.REFUSED, (Reason.NO_FACE,))
    relevant = list(range(len(measurements))) if ask_first else relevant_faces(measurements)
    verdicts = [_judge_face(measurements[index], index) for index in relevant]
    if len(relevant) == 1:
        return verdicts[0]
    if all(verdict.status is Status.REFUSED for verdict in verdicts):
        # No face in this photo is usable. Report the reasons instead of asking for a choice.
        widest = max(relevant, key=lambda index: measurements[index].face_width_px)
        return Verdict(Status.REFUSED, verdicts[relevant.index(widest)].reasons)
    return Verdict(Status.CHOOSE_FACE, (Reason.SEVERAL_FACES,))


def relevant_faces(measurements: Sequence[Measurements]) -> list[int]:
    """Return the indices of the faces that could be the person's.

    Includes background faces that the rules do not refuse, because the widest face could be on a poster."""
    widest = max((face.face_width_px for face in measurements), default=0.0)
    return [
        index
        for index, face in enumerate(measurements)
        if face.face_width_px >= BACKGROUND_SHARE * widest or _judge_face(face, index).status is not Status.REFUSED
    ]


def judge_faceless(photo: PhotoMeasurements) -> Verdict:
    """Return the verdict on a photo without a face, with the likely reasons why none was found."""
    reasons = [Reason.NO_FACE]
    if photo.contrast >= MIN_PHOTO_CONTRAST:
        if photo.overexposed_share > PHOTO_OVEREXPOSED:
            reasons.append(Reason.OVEREXPOSED)
        if photo.sharpness < PHOTO_BLURRED:
            reasons.append(Reason.TOO_BLURRY)
    return Verdict(Status.REFUSED, tuple(reasons))


def _judge_face(face: Measurements, index: int) -> Verdict:
    findings = sorted(_findings(face), key=lambda finding: -finding[1])
    reasons = tuple(reason for reason, grade in findings if grade > _Grade.FINE)
    worst = max(grade for _, grade in findings)
    status = {_Grade.FINE: Status.ACCEPTED, _Grade.WARN: Status.WARNED, _Grade.REFUSE: Status.REFUSED}[worst]
    return Verdict(status, reasons, index)


def _findings(face: Measurements) -> list[tuple[Reason, _Grade]]:
    """Return the grade of each rule, in order of how visible the fault is."""
    pitch = abs(face.pitch_degrees - LEVEL_PITCH_DEGREES)
    roll = abs(face.roll_degrees)
    upright = roll <= ROLL_REFUSE_DEGREES
    tilt = max(_above(roll, ROLL_WARN_DEGREES) if upright else _Grade.FINE, _above(pitch, PITCH_WARN_DEGREES))
    return [
        (Reason.CHILD, _above(face.child_share, MAX_CHILD_SHARE, MAX_CHILD_SHARE)),
        # The other angles are meaningless if the face is on its side.
        (Reason.NOT_UPRIGHT, _Grade.FINE if upright else _Grade.REFUSE),
        (Reason.FACE_CUT_OFF, _above(face.outside_share, OUTSIDE_WARN, OUTSIDE_REFUSE)),
        (Reason.FACE_TOO_SMALL, _below(face.face_width_px, MIN_FACE_WIDTH_PX, MIN_FACE_WIDTH_PX)),
        (Reason.TURNED_AWAY, _above(abs(face.yaw_degrees), YAW_WARN_DEGREES, YAW_REFUSE_DEGREES)),
        (Reason.TOO_DARK, _below(face.lightness_p95, DARK_WARN, DARK_REFUSE)),
        (Reason.OVEREXPOSED, _above(face.overexposed_share, OVEREXPOSED_WARN, OVEREXPOSED_REFUSE)),
        (Reason.TOO_BLURRY, _below(face.sharpness, SHARPNESS_WARN, SHARPNESS_REFUSE)),
        (Reason.COVERED, _above(face.occlusion, OCCLUSION_WARN, OCCLUSION_REFUSE)),
        (Reason.TILTED_HEAD, tilt),
        (Reason.UNEVEN_LIGHT, _above(face.light_asymmetry, ASYMMETRY_WARN)),
    ]


def _above(value: float, warn: float, refuse: float = float("inf")) -> _Grade:
    return _Grade.REFUSE if value > refuse else _Grade.WARN if value > warn else _Grade.FINE


def _below(value: float, warn: float, refuse: float) -> _Grade:
    return _above(-value, -warn, -refuse)
