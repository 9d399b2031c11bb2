"""The person at 4K: the photo enlarged where they are, and the work done on a small picture carried over to it."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.engines.studio.crop import Frame
from pipeline.engines.studio.filters import (
    Floats,
    Shape,
    enlarge_rows,
    follow,
    from_lab,
    grow,
    guide_lines,
    to_lab,
    warp,
)
from pipeline.types import Box, Face, Pixels, Progress, Size, SourcePhoto
from pipeline.upscale import SCALE, Network, upscale

# Larger pictures are lit and graded on a small one of about this long edge; only what is sharp is made at full size.
SMALL_LONG_EDGE = 1000
LARGEST_SMALL_EDGE = 1600

# A photo that has to grow by less keeps its own pixels: the network would have to invent from a smaller one.
ENLARGE_FROM = 1.7
# Of the plain enlargement so much is mixed in where the photo is all but large enough, and where it is not: the
# network alone draws skin too crisp.
PLAIN_SHARES = (0.5, 0.15)
# Belief above this is worth the network's time, with so much around it in shares of the frame's side.
WORTH_ENLARGING = 0.04
MARGIN = 0.012

STRIP_ROWS = 128


@dataclass(frozen=True, eq=False, repr=False)
class Fine:
    """The person at full size: person (H, W, 3) and alpha (H, W), uint8; H is `factor` times the small picture's."""

    person: Pixels
    alpha: NDArray[np.uint8]
    factor: int


def small_factor(size: Size) -> int:
    """How many times larger than its working picture a headshot of this size is; 1 for a preview."""
    if size.long_edge <= LARGEST_SMALL_EDGE:
        return 1
    factor = round(size.long_edge / SMALL_LONG_EDGE)
    while size.width % factor or size.height % factor:
        factor -= 1
    return factor


def shrunk(frame: Frame, factor: int) -> Frame:
    """The same frame with fewer pixels."""
    return Frame(frame.matrix / factor, frame.scale / factor, (frame.shape[0] // factor, frame.shape[1] // factor))


def enlarge_photo(
    photo: SourcePhoto, frame: Frame, belief: Floats, network: Network, on_progress: Progress
) -> tuple[SourcePhoto, Frame]:
    """The part of the photo that the frame shows, enlarged by the network where the person is, and the frame in it.

    No more pixels than the frame needs: a photo that is less than four times too small is shrunk first.
    belief: (h, w) of the frame, as the mask has it."""
    height, width = photo.pixels.shape[:2]
    inverse = np.asarray(cv2.invertAffineTransform(frame.matrix), np.float64)
    rows, columns = frame.shape
    corners = np.array([[0, 0, 1], [columns, 0, 1], [0, rows, 1], [columns, rows, 1]]) @ inverse.T
    low = np.floor(np.clip(corners.min(axis=0) - 4, 0, None)).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0) + 4), (width, height)).astype(int)
    region = photo.pixels[low[1] : high[1], low[0] : high[0]]
    shape = tuple(math.ceil(edge * min(1.0, frame.scale / SCALE)) for edge in region.shape[:2])
    if frame.scale < SCALE:
        region = np.asarray(cv2.resize(region, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    step = np.array([(high - low)[0] / shape[1], (high - low)[1] / shape[0]])

    # From the belief's pixels to the frame's, the photo's and the network's input.
    to_photo = inverse.copy()
    to_photo[:, :2] *= rows / belief.shape[0]
    to_input = (to_photo - np.c_[np.zeros((2, 2)), low]) / step[:, None]
    side = math.sqrt(belief.size)
    worth = (grow(np.asarray(belief > WORTH_ENLARGING, np.float32), MARGIN * side) > 0).astype(np.float32)
    wanted = warp(worth, to_input, (shape[0], shape[1])) > 0.5
    nearly, far = PLAIN_SHARES
    plain = nearly + (far - nearly) * float(np.clip((frame.scale - 2) / (SCALE - 2), 0, 1))
    enlarged = upscale(np.ascontiguousarray(region), network, on_progress, wanted=wanted, plain_share=plain)

    step = step / SCALE
    matrix = frame.matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ low
    matrix[:, :2] *= step
    faces = [_moved(face, low, step) for face in (photo.face, *photo.bystanders)]
    return SourcePhoto(enlarged, faces[0], tuple(faces[1:])), replace(
        frame, matrix=matrix, scale=frame.scale * float(step.mean())
    )


def _moved(face: Face, low: NDArray[np.int_], step: NDArray[np.float64]) -> Face:
    """The face in pixels of the enlarged region."""
    mesh = face.mesh.copy()
    mesh[:, :2] = (mesh[:, :2] - low) / step
    mesh[:, 2] /= step.mean()
    (left, top), (right, bottom) = ((np.array(corner) - low) / step for corner in _corners(face.box))
    return replace(face, box=Box(left, top, right, bottom), mesh=mesh)


def _corners(box: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    return (box.left, box.top), (box.right, box.bottom)


def refine(photo: Pixels, frame: Frame, small: Floats, developed: Floats, alpha: Floats) -> Fine:
    """What was made of the small picture, made of the large one.

    small: (h, w, 3) display values as they were cut from the photo; developed: (h, w, 3) display values of the
    person made of them; alpha: (h, w)."""
    factor = frame.shape[0] // small.shape[0]
    picture = warp(photo, frame.matrix, frame.shape)
    change = to_lab(developed) - to_lab(small)
    lines = guide_lines(small, alpha, max(2, round(0.003 * math.sqrt(alpha.size))), 1e-5)
    fine_alpha = np.empty(frame.shape, np.uint8)
    # Half a step of noise: rounding to 8 bits must not draw contours on smooth skin.
    chance = np.random.default_rng(0)
    for top, bottom in strips(frame.shape[0]):
        strip = np.asarray(picture[top:bottom] / np.float32(255), np.float32)
        opaque = follow(strip, enlarge_rows(lines, factor, top, bottom))
        fine_alpha[top:bottom] = np.clip(255 * opaque + 0.5, 0, 255)
        person = from_lab(to_lab(strip) + enlarge_rows(change, factor, top, bottom))
        picture[top:bottom] = np.clip(255 * person + chance.random(strip.shape[:2], np.float32)[..., None], 0, 255)
    return Fine(picture, fine_alpha, factor)


def strips(height: int) -> list[tuple[int, int]]:
    """First and last row of each part that a tall picture is worked on in: so memory stays small, and caches warm."""
    return list(pairwise([*range(0, height, STRIP_ROWS), height]))


def stretch(values: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The picture moved and enlarged within its own frame; (2, 3) map of its pixels."""
    shape: Shape = (values.shape[0], values.shape[1])
    return warp(values, matrix, shape)
