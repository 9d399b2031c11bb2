"""The person at 4K: enlarge the photo where they are, and apply to it what was done to the small picture."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.imaging.filters import (
    Floats,
    apply_guided_filter,
    dilate,
    enlarge_rows,
    from_lab,
    guided_filter_lines,
    to_lab,
    warp,
)
from pipeline.portrait.crop import Frame
from pipeline.types import Box, Face, Pixels, Progress, Size, SourcePhoto
from pipeline.upscaling.upscale import SCALE, UpscaleNetwork, enlarge_plainly, upscale

# Larger pictures are lit and graded on a small one of about this long edge; only what is sharp is made at full size.
SMALL_LONG_EDGE = 1000
MAX_DIRECT_EDGE_PX = 1600

# A photo that has to grow by less keeps its own pixels: the network would have to invent from a smaller one.
ENLARGE_FROM = 1.7
# Of the plain enlargement so much is mixed in where the photo is all but large enough, and where it is not: the
# network alone draws skin too crisp.
PLAIN_SHARES = (0.5, 0.15)
# Of cloth the network makes a weave of its own, coarser than the photo's and in patches: below the chin so much of the
# plain enlargement is mixed in on top, from so many face heights below it on.
PLAIN_CLOTH_SHARE = 0.6
CLOTH_BELOW_CHIN = 0.35
# Probability above this is worth the network's time, with so much around it in shares of the frame's side.
WORTH_ENLARGING = 0.04
MARGIN = 0.012

STRIP_ROWS = 128


@dataclass(frozen=True, eq=False, repr=False)
class UpscaledPerson:
    """The person at full size: person (H, W, 3) and alpha (H, W), uint8; H is `factor` times the small picture's."""

    person: Pixels
    alpha: NDArray[np.uint8]
    factor: int


def small_factor(size: Size) -> int:
    """How many times larger than its working picture a headshot of this size is; 1 for a preview."""
    if size.long_edge <= MAX_DIRECT_EDGE_PX:
        return 1
    factor = round(size.long_edge / SMALL_LONG_EDGE)
    while size.width % factor or size.height % factor:
        factor -= 1
    return factor


def shrink_frame(frame: Frame, factor: int) -> Frame:
    """The same frame with fewer pixels."""
    return Frame(frame.matrix / factor, frame.scale / factor, (frame.shape[0] // factor, frame.shape[1] // factor))


@dataclass(frozen=True, eq=False, repr=False)
class NetworkInput:
    """The part of a photo that a frame shows, as large as the network needs it, and where the person is in it.

    low (2,): its corner in the photo; step (2,): pixels of the photo per pixel of the cut, x and y."""

    pixels: Pixels
    wanted: NDArray[np.bool_]
    low: NDArray[np.int_]
    step: NDArray[np.float64]


def crop_for_network(photo: Pixels, frame: Frame, probability: Floats) -> NetworkInput:
    """No more pixels than the frame needs: a photo that is less than four times too small is shrunk first.

    probability: (h, w) of the frame, as the mask has it."""
    inverse = np.asarray(cv2.invertAffineTransform(frame.matrix), np.float64)
    rows, columns = frame.shape
    corners = np.array([[0, 0, 1], [columns, 0, 1], [0, rows, 1], [columns, rows, 1]]) @ inverse.T
    low = np.floor(np.clip(corners.min(axis=0) - 4, 0, None)).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0) + 4), photo.shape[1::-1]).astype(int)
    region = np.ascontiguousarray(photo[low[1] : high[1], low[0] : high[0]])
    if frame.scale < SCALE:
        height, width = (math.ceil(edge * frame.scale / SCALE) for edge in region.shape[:2])
        region = np.asarray(cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    step = np.asarray((high - low) / region.shape[1::-1], np.float64)

    # From the mask's pixels to the frame's, the photo's and the cut's.
    matrix = inverse.copy()
    matrix[:, :2] *= rows / probability.shape[0]
    matrix[:, 2] -= low
    matrix /= step[:, None]
    near = dilate(np.asarray(probability > WORTH_ENLARGING, np.float32), MARGIN * math.sqrt(probability.size))
    return NetworkInput(region, warp(near, matrix, (region.shape[0], region.shape[1])) > 0.5, low, step)


def enlarge_photo(
    photo: SourcePhoto, frame: Frame, cut: NetworkInput, network: UpscaleNetwork, on_progress: Progress
) -> tuple[SourcePhoto, Frame]:
    """The part of the photo that the frame shows, enlarged by the network where the person is, and the frame in it."""
    nearly, far = PLAIN_SHARES
    plain = nearly + (far - nearly) * float(np.clip((frame.scale - 2) / (SCALE - 2), 0, 1))
    enlarged = upscale(cut.pixels, network, on_progress, wanted=cut.wanted, plain_share=plain)
    step = cut.step / SCALE
    matrix = frame.matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ cut.low
    matrix[:, :2] *= step
    faces = [_moved(face, cut.low, step) for face in (photo.face, *photo.bystanders)]
    reduce_cloth_texture(enlarged, cut.pixels, faces[0])
    moved = replace(frame, matrix=matrix, scale=frame.scale * float(step.mean()))
    return SourcePhoto(enlarged, faces[0], tuple(faces[1:])), moved


def reduce_cloth_texture(enlarged: Pixels, pixels: Pixels, face: Face) -> None:
    """Takes what the network made of the clothes back, in place, as far as it is not in the photo.

    enlarged: (4H, 4W, 3) of pixels (H, W, 3); face: in pixels of the enlarged."""
    head, chin = float(face.mesh[:, 1].min()), float(face.mesh[:, 1].max())
    start = (np.arange(len(enlarged)) - chin) / (CLOTH_BELOW_CHIN * (chin - head))
    share = np.asarray(PLAIN_CLOTH_SHARE * np.clip(start, 0, 1), np.float32)[:, None, None]
    if not share.any():
        return
    plain = enlarge_plainly(pixels)
    for top, bottom in strips(len(enlarged)):
        if share[bottom - 1] > 0:
            kept = enlarged[top:bottom] + share[top:bottom] * (
                plain[top:bottom] - enlarged[top:bottom].astype(np.float32)
            )
            enlarged[top:bottom] = np.rint(kept)


def _moved(face: Face, low: NDArray[np.int_], step: NDArray[np.float64]) -> Face:
    """The face in pixels of the enlarged region."""
    mesh = face.mesh.copy()
    mesh[:, :2] = (mesh[:, :2] - low) / step
    mesh[:, 2] /= step.mean()
    (left, top), (right, bottom) = ((np.array(corner) - low) / step for corner in _corners(face.box))
    return replace(face, box=Box(left, top, right, bottom), mesh=mesh)


def _corners(box: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    return (box.left, box.top), (box.right, box.bottom)


def refine(photo: Pixels, frame: Frame, small: Floats, retouched: Floats, alpha: Floats) -> UpscaledPerson:
    """Carry the work on the small picture over to the large one.

    small: (h, w, 3) display values as they were cut from the photo. retouched: (h, w, 3) display values of the person
    after retouching. alpha: (h, w)."""
    factor = frame.shape[0] // small.shape[0]
    picture = warp(photo, frame.matrix, frame.shape)
    change = to_lab(retouched) - to_lab(small)
    lines = guided_filter_lines(small, alpha, max(2, round(0.003 * math.sqrt(alpha.size))), 1e-5)
    upscaled_alpha = np.empty(frame.shape, np.uint8)
    # Half a step of noise: rounding to 8 bits must not draw contours on smooth skin.
    rng = np.random.default_rng(0)
    for top, bottom in strips(frame.shape[0]):
        strip = np.asarray(picture[top:bottom] / np.float32(255), np.float32)
        opaque = apply_guided_filter(strip, enlarge_rows(lines, factor, top, bottom))
        upscaled_alpha[top:bottom] = np.clip(255 * opaque + 0.5, 0, 255)
        person = from_lab(to_lab(strip) + enlarge_rows(change, factor, top, bottom))
        picture[top:bottom] = np.clip(255 * person + rng.random(strip.shape[:2], np.float32)[..., None], 0, 255)
    return UpscaledPerson(picture, upscaled_alpha, factor)


def strips(height: int) -> list[tuple[int, int]]:
    """First and last row of each part that a tall picture is worked on in: so memory stays small, and caches warm."""
    return list(pairwise([*range(0, height, STRIP_ROWS), height]))
