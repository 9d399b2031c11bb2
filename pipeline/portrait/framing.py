"""Frame the head as a photographer does: choose the headshot's frame in the photo, and vary it between shots.

All rules are in two tables: `RULES` has the frame of each aspect ratio, `VARIATIONS` has what each framing of a pack
changes. Lengths are shares of the frame's height or width unless stated otherwise.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.imaging.filters import Shape
from pipeline.portrait.crop import Frame, Outline, head_anchor, level_degrees, rotation
from pipeline.types import Box, Face, Framing, Light, Mesh, Size, SourcePhoto, StyleSpec


@dataclass(frozen=True)
class Rule:
    """Place of a head in a frame.

    Attributes:
        face: lowest, best and highest face height (top of the forehead to chin), as a share of the frame's height.
        eyes: highest and lowest position at which the eyes are placed, from the top.
        center: leftmost and rightmost position of the middle of the face.
        headroom: best space above the hair.
    """

    face: tuple[float, float, float] = (0.345, 0.385, 0.495)
    eyes: tuple[float, float] = (0.375, 0.455)
    center: tuple[float, float] = (0.45, 0.55)
    headroom: float = 0.09


# The first rule whose aspect ratio (width divided by height) is at least that of the frame. A banner may show the
# person on one side, with space for text on the other.
RULES = (
    (1.35, Rule()),
    (float("inf"), Rule(face=(0.345, 0.41, 0.60), center=(0.25, 0.75))),
)
# Limits of the space above the hair. Hair that nearly touches the frame looks like a mistake. So does an empty wall.
MIN_HEADROOM, MAX_HEADROOM = 0.03, 0.2
# The hair's height above the eyes, in face heights, if the mask does not show it.
USUAL_CROWN = 0.8
# A person who looks aside gets this much more room on that side, fully from this angle on.
GAZE_ROOM, GAZE_DEGREES = 0.03, 20.0

# Candidates of the search: face height, position of the eyes, and distance of the head from the middle. The second
# search refines the result of the first by these steps.
FACES = np.geomspace(0.30, 1.1, 27)
EYES = np.arange(0.26, 0.63, 0.01)
ASIDE = np.linspace(-0.28, 0.28, 15)
REFINED_FACES = np.geomspace(0.955, 1.047, 9)
REFINED_EYES, REFINED_ASIDE = np.linspace(-0.009, 0.009, 7), np.linspace(-0.02, 0.02, 9)

# Costs of a candidate. A cut through the person inside the frame is worse than any position of the head, and a position
# outside of the rule is worse than any other inside of it.
FACE_COST, EYES_COST, CENTER_COST = 6.0, 20.0, 12.0
OUTSIDE_COST = 20.0
# Eyes are too high only where the photo cuts the hair. Closing in would help little, and shows less of the shoulders.
# They may be a little higher than they are placed.
HIGH_EYES_COST, HIGH_EYES = 10.0, 0.012
CUT_COST = 120.0
CONTACT_COST = 1.6

# Where the photo ends left, right or below, this much is added by mirroring its last pixels, in face heights. On
# clothes at the frame's edge this is invisible, and it spares people whose photo ends early a head that is too low.
MIRRORED = 0.065
# The cut must be this far outside of the frame, in face heights. The mask shows it no more precisely.
CUT_MARGIN = 0.012
# Of points within this distance only one is used, in face heights.
POINT_DISTANCE = 0.03


def rule_for(size: Size) -> Rule:
    """Return the rule for frames of this aspect ratio."""
    return next(rule for limit, rule in RULES if size.width / size.height <= limit)


def extend_photo(photo: SourcePhoto) -> SourcePhoto:
    """Return the photo with a narrow mirrored strip at its left, right and bottom border.

    Nothing is added at the top, because mirrored hair would not look right."""
    width = min(round(MIRRORED * landmarks.face_height(photo.face.mesh)), min(photo.pixels.shape[:2]) - 1)
    pixels = cv2.copyMakeBorder(photo.pixels, 0, width, width, width, cv2.BORDER_REFLECT_101)
    face, *bystanders = (_move_right(face, width) for face in (photo.face, *photo.bystanders))
    return SourcePhoto(np.asarray(pixels, np.uint8), face, tuple(bystanders))


def _move_right(face: Face, distance: int) -> Face:
    box = Box(face.box.left + distance, face.box.top, face.box.right + distance, face.box.bottom)
    return replace(face, box=box, mesh=np.asarray(face.mesh + np.array([distance, 0, 0]), np.float32))


def frame_head(mesh: Mesh, size: Size, outline: Outline) -> Frame:
    """Choose the best frame around a head.

    The head is rotated nearly upright and placed by the rule of the aspect ratio. All heads of one aspect ratio have
    the same size, unless the photo ends too early. Then the frame first closes in, until the line where the photo's
    border cuts the person is on the frame's edge. Where the frame extends beyond the photo, the backdrop is visible.

    Args:
        mesh: face mesh in pixels of the photo.
        size: size of the headshot.
        outline: points that limit the frame.
    """
    unit, anchor = landmarks.face_height(mesh), head_anchor(mesh)
    turn = rotation(level_degrees(mesh))
    crown = USUAL_CROWN if outline.crown is None else -float((turn @ (outline.crown - anchor))[1] / unit)
    bounds = landmarks.bounds(np.asarray(np.c_[(mesh[:, :2] - anchor) @ turn.T / unit, mesh[:, 2]], np.float32))
    head = _Head(
        crown,
        (bounds.left + bounds.right) / 2,
        landmarks.yaw_degrees(mesh),
        _thin_out((outline.cut - anchor) @ turn.T / unit),
        _thin_out((outline.contact - anchor) @ turn.T / unit),
    )
    face, eyes, aside = _choose(head, size, FACES, EYES, ASIDE)
    face, eyes, aside = _choose(head, size, face * REFINED_FACES, eyes + REFINED_EYES, aside + REFINED_ASIDE)

    height = 1 / face
    left, top = -(0.5 + aside) * height * size.width / size.height, -eyes * height
    scale = size.height / (height * unit)
    matrix = np.empty((2, 3))
    matrix[:, :2] = turn * scale
    matrix[:, 2] = -matrix[:, :2] @ anchor - np.array([left, top]) * unit * scale
    return Frame(matrix, scale, (size.height, size.width))


@dataclass(frozen=True, eq=False)
class _Head:
    """What limits the frame around a leveled head. Lengths are face heights, from the head's anchor.

    Attributes:
        crown: height of the hair.
        face_middle: horizontal position of the middle of the face.
        yaw_degrees: rotation of the head.
        cut: (N, 2) points where the photo's border cuts the person.
        contact: (N, 2) points where a bystander touches the person.
    """

    crown: float
    face_middle: float
    yaw_degrees: float
    cut: NDArray[np.float64]
    contact: NDArray[np.float64]


def _thin_out(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return only one of all points that are nearly the same. Cuts are lines of many points."""
    _, kept = np.unique(np.round(points / POINT_DISTANCE), axis=0, return_index=True)
    return points[kept]


def _choose(
    head: _Head, size: Size, faces: NDArray[np.float64], eyes: NDArray[np.float64], aside: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return the combination of face height, position of the eyes and distance from the middle with the lowest cost."""
    rule, aspect = rule_for(size), size.width / size.height
    faces, eyes, aside = (grid.ravel() for grid in np.meshgrid(faces, eyes, aside, indexing="ij"))
    heights = 1 / faces
    widths = aspect * heights
    lefts, tops = -(0.5 + aside) * widths, -eyes * heights
    smallest, best, largest = rule.face
    gaze = GAZE_ROOM * float(np.clip(head.yaw_degrees / GAZE_DEGREES, -1, 1))
    cost = FACE_COST * np.log(faces / best) ** 2
    cost += EYES_COST * (eyes - np.clip(rule.headroom + head.crown * faces, *rule.eyes)) ** 2
    cost += CENTER_COST * (aside + gaze) ** 2
    outside = _outside(faces, smallest, largest) + _outside(eyes, 0.0, rule.eyes[1])
    outside += _outside(0.5 + aside + head.face_middle / widths, *rule.center)
    outside += _outside(eyes - head.crown * faces, MIN_HEADROOM, MAX_HEADROOM)
    cost += OUTSIDE_COST * outside
    cost += HIGH_EYES_COST * _outside(eyes, rule.eyes[0] - HIGH_EYES, 1.0)
    cost += CUT_COST * _depth_inside(head.cut, CUT_MARGIN, lefts, tops, widths, heights)
    cost += CONTACT_COST * _depth_inside(head.contact, 0.0, lefts, tops, widths, heights)
    chosen = int(np.argmin(cost))
    return float(faces[chosen]), float(eyes[chosen]), float(aside[chosen])


def _outside(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return how far each value is outside of a range, 0 inside."""
    return np.asarray(np.clip(low - values, 0, None) + np.clip(values - high, 0, None))


def _depth_inside(
    points: NDArray[np.float64],
    margin: float,
    lefts: NDArray[np.float64],
    tops: NDArray[np.float64],
    widths: NDArray[np.float64],
    heights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return how far the innermost point is inside each candidate frame, (N,) in face heights.

    0 if all points are outside. margin: distance outside of the frame that still counts as inside."""
    worst = np.zeros(len(lefts))
    for x, y in points:
        across = np.minimum(x - lefts, lefts + widths - x)
        down = np.minimum(y - tops, tops + heights - y)
        worst = np.maximum(worst, np.minimum(across, down) + margin)
    return worst


@dataclass(frozen=True)
class Variation:
    """What a framing changes of the classic frame.

    Attributes:
        zoom: size of the person relative to the classic frame. Never below 1, because the photo shows no more of the
            person. Less of it is used where the classic frame is already close.
        aside: horizontal shift of the person, as a share of the width. Never exceeds the space that the zoom creates.
    """

    zoom: float
    aside: float = 0.0


VARIATIONS = {
    Framing.CLASSIC: Variation(1.0),
    Framing.CLOSE: Variation(1.1),
    Framing.LEFT: Variation(1.15, -0.075),
    Framing.TIGHT: Variation(1.22),
    Framing.RIGHT: Variation(1.15, 0.075),
    Framing.TIGHT_LEFT: Variation(1.26, -0.085),
    Framing.TIGHT_RIGHT: Variation(1.26, 0.085),
    Framing.NEAR: Variation(1.35),
    Framing.A_LITTLE_LEFT: Variation(1.18, -0.04),
    Framing.A_LITTLE_RIGHT: Variation(1.18, 0.04),
}
# Zooms are complete up to this height of the face, and reduced above it, to no less than this share.
ZOOMED_FACE, MIN_ZOOM_SHARE = 0.56, 0.55
# Space above the hair of a framing that is closer than the classic one.
CLOSE_HEADROOM = 0.05
# A crown above this row was cut by the photo, so it stays at the frame's edge.
CUT_CROWN = 0.008

# Brightness of the backdrop relative to the style. Lights near the camera illuminate the backdrop. Lights at the side
# or above illuminate it less.
SET_LIGHT = {Light.KEY: 1.0, Light.FRONT: 1.3, Light.SIDE: 0.62, Light.HIGH: 0.8}


def place_person(framing: Framing, shape: Shape, face: float, eyes: float, crown: float) -> NDArray[np.float64] | None:
    """Return the map (2, 3) in pixels from the classic frame to this framing, or None if nothing moves.

    The eyes move down only as far as the hair needs, and not below the rule's range.

    Args:
        framing: framing of the shot.
        shape: (height, width) of the frame in pixels.
        face: face height in the classic frame, as a share of the height.
        eyes: row of the eyes in the classic frame, as a share of the height.
        crown: row of the highest hair.
    """
    variation = VARIATIONS[framing]
    if variation.zoom == 1.0:
        return None
    highest = max(each.zoom for each in VARIATIONS.values())
    used = min(1.0, max(MIN_ZOOM_SHARE, (ZOOMED_FACE / face - 1) / (highest - 1)))
    zoom, aside = 1 + used * (variation.zoom - 1), used * variation.aside
    height, width = shape
    if crown < CUT_CROWN:
        top = 0.0
    else:
        lowest = max(eyes, rule_for(Size(width, height)).eyes[1])
        row = min(max(CLOSE_HEADROOM + zoom * (eyes - crown), min(eyes, lowest)), lowest)
        # The lower edge of the person must not come into the frame.
        top = max(row - zoom * eyes, 1 - zoom)
    return np.array([[zoom, 0, width * (0.5 * (1 - zoom) + aside)], [0, zoom, height * top]])


def light_set(light: Light, steadiness: float) -> float:
    """Return the factor on the backdrop's brightness.

    steadiness: 0..1, where 1 keeps the factor at 1."""
    return float(SET_LIGHT[light] ** (1 - steadiness))


def arrange_lamps(style: StyleSpec, light: Light) -> StyleSpec:
    """Return the style with its lights moved: softer from the front, harder from the side, or from above."""
    x, y, z = style.key_light
    if light is Light.FRONT:
        return replace(style, key_light=(0.2 * x, y - 0.1, z + 0.3), key=0.6 * style.key, rim=0.5 * style.rim)
    if light is Light.SIDE:
        return replace(style, key_light=(1.5 * x, 0.6 * y, 0.6 * z), key=1.6 * style.key, rim=1.3 * style.rim)
    if light is Light.HIGH:
        return replace(style, key_light=(0.4 * x, y - 0.5, 0.8 * z), key=1.3 * style.key, wrap=0.8 * style.wrap)
    return style
