"""Create the person at full size (4K).

Enlarges the photo around the person, and applies the retouching of the small picture to the large one.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.imaging.filters import (
    Floats,
    Shape,
    apply_guided_filter,
    dilate,
    enlarge_rows,
    from_lab,
    guided_filter_lines,
    to_lab,
    warp,
)
from pipeline.portrait.crop import Frame
from pipeline.portrait.eyes import restore_eyes
from pipeline.types import Box, Face, Mesh, Pixels, Progress, Size, SourcePhoto
from pipeline.upscaling.upscale import SCALE, UpscaleNetwork, enlarge_plainly, upscale

# Pictures above MAX_DIRECT_EDGE_PX are lit and graded on a small picture with about this long edge. Only fine detail is
# computed at full size.
SMALL_LONG_EDGE = 1000
MAX_DIRECT_EDGE_PX = 1600

# A photo that must be enlarged by less than this factor is only interpolated. The network would need a smaller photo as
# input and would invent detail.
ENLARGE_FROM = 1.7
# The estimate of the true resolution marks where a third of the contrast is left. Faint detail, such as lashes, ends at
# about this multiple of it: 1.25 to 1.7 on soft portraits.
FAINT_DETAIL = 1.5
# Fraction of interpolation (plain enlargement) that is mixed in, for a photo that is nearly large enough and for a
# small photo. The network alone makes skin too crisp.
PLAIN_SHARES = (0.5, 0.15)
# On clothes the network invents a coarse, patchy weave. Therefore its share falls below the chin, and ends at this
# distance below it, in face heights. The network does not see what is below. Next to the neck are shoulders. There the
# distance shrinks: by half at NECK_REACH + 1 / NARROWING widths of the face from its middle.
CLOTH_BELOW_CHIN = 0.25
NECK_REACH = 0.5
NARROWING = 8.0
# The network enlarges pixels above this probability, and a margin around them, as a fraction of the frame's side.
WORTH_ENLARGING = 0.04
MARGIN = 0.012

STRIP_ROWS = 128


@dataclass(frozen=True, eq=False, repr=False)
class UpscaledPerson:
    """The person at full size.

    Attributes:
        person: (H, W, 3) uint8.
        alpha: (H, W) uint8.
        factor: height of this picture divided by the height of the small picture.
    """

    person: Pixels
    alpha: NDArray[np.uint8]
    factor: int


def small_factor(size: Size) -> int:
    """Return how much larger a headshot of this size is than its small picture. 1 for a preview."""
    if size.long_edge <= MAX_DIRECT_EDGE_PX:
        return 1
    factor = round(size.long_edge / SMALL_LONG_EDGE)
    while size.width % factor or size.height % factor:
        factor -= 1
    return factor


def shrink_frame(frame: Frame, factor: int) -> Frame:
    """Return the frame with its resolution divided by `factor`."""
    return Frame(frame.matrix / factor, frame.scale / factor, (frame.shape[0] // factor, frame.shape[1] // factor))


def enlarge_frame(shape: Shape, factor: int) -> Frame:
    """Return the frame that shows a whole small picture of this shape, enlarged by `factor`."""
    matrix = np.array([[factor, 0, 0], [0, factor, 0]], np.float64)
    return Frame(matrix, float(factor), (factor * shape[0], factor * shape[1]))


@dataclass(frozen=True, eq=False, repr=False)
class NetworkInput:
    """The part of a photo that the network enlarges, at the size that the network needs.

    Attributes:
        pixels: pixels of the part.
        wanted: (H, W) of the part, True at the person and a margin around the person.
        low: (2,) top left corner (x, y) in the photo.
        step: (2,) pixels of the photo per pixel of the part, x and y.
    """

    pixels: Pixels
    wanted: NDArray[np.bool_]
    low: NDArray[np.int_]
    step: NDArray[np.float64]


def crop_for_network(photo: SourcePhoto, frame: Frame, probability: Floats, detail_share: float = 1.0) -> NetworkInput:
    """Crop the part of the photo that the frame shows.

    The network always enlarges four times. Therefore a photo that needs a smaller factor is shrunk first. A photo with
    less detail than pixels is shrunk to its true resolution, because the network would invent the missing detail.

    Args:
        photo: the photo.
        frame: frame of the headshot in the photo.
        probability: (h, w) of the frame, from the mask.
        detail_share: true resolution of the face as a fraction of its pixels.
    """
    inverse = np.asarray(cv2.invertAffineTransform(frame.matrix), np.float64)
    rows, columns = frame.shape
    corners = np.array([[0, 0, 1], [columns, 0, 1], [0, rows, 1], [columns, rows, 1]]) @ inverse.T
    low = np.floor(np.clip(corners.min(axis=0) - 4, 0, None)).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0) + 4), photo.pixels.shape[1::-1]).astype(int)
    region = np.ascontiguousarray(photo.pixels[low[1] : high[1], low[0] : high[0]])
    shrink = min(frame.scale / SCALE, FAINT_DETAIL * detail_share)
    if shrink < 1:
        height, width = (math.ceil(edge * shrink) for edge in region.shape[:2])
        region = np.asarray(cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    step = np.asarray((high - low) / region.shape[1::-1], np.float64)

    # Map from pixels of the mask, via frame and photo, to pixels of the crop.
    matrix = inverse.copy()
    matrix[:, :2] *= rows / probability.shape[0]
    matrix[:, 2] -= low
    matrix /= step[:, None]
    near = dilate(np.asarray(probability > WORTH_ENLARGING, np.float32), MARGIN * math.sqrt(probability.size))
    wanted = warp(near, matrix, (region.shape[0], region.shape[1])) > 0.5
    mesh = _moved(photo.face, low, step).mesh
    wanted &= cloth_share(mesh, np.arange(len(wanted)), np.arange(wanted.shape[1])) < 1
    return NetworkInput(region, wanted, low, step)


def enlarge_photo(
    photo: SourcePhoto, frame: Frame, cut: NetworkInput, network: UpscaleNetwork, on_progress: Progress
) -> tuple[SourcePhoto, Frame]:
    """Enlarge the part of the photo that the frame shows. Returns it as a new photo with its frame.

    The network enlarges only the person. The rest is interpolated."""
    nearly, far = PLAIN_SHARES
    # A photo that was shrunk to its true resolution counts as smaller than it is.
    scale = frame.scale * max(1.0, frame.scale * float(cut.step.mean()) / SCALE)
    plain = nearly + (far - nearly) * float(np.clip((scale - 2) / (SCALE - 2), 0, 1))
    enlarged = upscale(cut.pixels, network, on_progress, wanted=cut.wanted, plain_share=plain)
    step = cut.step / SCALE
    matrix = frame.matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ cut.low
    matrix[:, :2] *= step
    faces = [_moved(face, cut.low, step) for face in (photo.face, *photo.bystanders)]
    reduce_cloth_texture(enlarged, cut.pixels, faces[0])
    restore_eyes(enlarged, cut.pixels, faces[0].mesh)
    moved = replace(frame, matrix=matrix, scale=frame.scale * float(step.mean()))
    return SourcePhoto(enlarged, faces[0], tuple(faces[1:])), moved


def reduce_cloth_texture(enlarged: Pixels, pixels: Pixels, face: Face) -> None:
    """Replace the clothes by interpolation, in place, because the network invents texture.

    Args:
        enlarged: (4H, 4W, 3), result of the network.
        pixels: (H, W, 3), input of the network.
        face: face in pixels of `enlarged`.
    """
    columns = np.arange(enlarged.shape[1])
    plain = None
    for top, bottom in strips(len(enlarged)):
        share = cloth_share(face.mesh, np.arange(top, bottom), columns)[..., None]
        if share[-1].any():
            plain = enlarge_plainly(pixels) if plain is None else plain
            network = enlarged[top:bottom].astype(np.float32)
            enlarged[top:bottom] = np.rint(network + share * (plain[top:bottom] - network))


def cloth_share(mesh: Mesh, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> Floats:
    """Return the share of interpolation on clothes, (rows, columns): 0 down to the chin, 1 where the network ends."""
    face = landmarks.bounds(mesh)
    aside = np.abs(columns - (face.left + face.right) / 2) / face.width - NECK_REACH
    reach = CLOTH_BELOW_CHIN * face.height / (1 + NARROWING * np.clip(aside, 0, None))
    return np.asarray(np.clip((rows[:, None] - face.bottom) / reach, 0, 1), np.float32)


def _moved(face: Face, low: NDArray[np.int_], step: NDArray[np.float64]) -> Face:
    """Return the face in pixels of the enlarged part."""
    mesh = face.mesh.copy()
    mesh[:, :2] = (mesh[:, :2] - low) / step
    mesh[:, 2] /= step.mean()
    (left, top), (right, bottom) = ((np.array(corner) - low) / step for corner in _corners(face.box))
    return replace(face, box=Box(left, top, right, bottom), mesh=mesh)


def _corners(box: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    return (box.left, box.top), (box.right, box.bottom)


def refine(photo: Pixels, frame: Frame, small: Floats, retouched: Floats, alpha: Floats) -> UpscaledPerson:
    """Apply the retouching of the small picture to the large picture.

    Args:
        photo: photo of the person, enlarged if necessary.
        frame: frame of the large picture in the photo.
        small: (h, w, 3) display values of the small picture before retouching.
        retouched: (h, w, 3) display values of the person after retouching.
        alpha: (h, w) alpha matte.
    """
    factor = frame.shape[0] // small.shape[0]
    picture = warp(photo, frame.matrix, frame.shape)
    change = to_lab(retouched) - to_lab(small)
    lines = guided_filter_lines(small, alpha, max(2, round(0.003 * math.sqrt(alpha.size))), 1e-5)
    upscaled_alpha = np.empty(frame.shape, np.uint8)
    # Add noise (dithering) before rounding to 8 bits, so that smooth skin shows no banding.
    rng = np.random.default_rng(0)
    for top, bottom in strips(frame.shape[0]):
        strip = np.asarray(picture[top:bottom] / np.float32(255), np.float32)
        opaque = apply_guided_filter(strip, enlarge_rows(lines, factor, top, bottom))
        upscaled_alpha[top:bottom] = np.clip(255 * opaque + 0.5, 0, 255)
        person = from_lab(to_lab(strip) + enlarge_rows(change, factor, top, bottom))
        noise = rng.random(strip.shape[:2], np.float32)
        picture[top:bottom] = np.clip(255 * person + cv2.merge([noise, noise, noise]), 0, 255)
    return UpscaledPerson(picture, upscaled_alpha, factor)


def strips(height: int) -> list[tuple[int, int]]:
    """Return the first and last row of each strip of a tall picture.

    Processing a picture in strips limits memory and makes use of the CPU cache."""
    return list(pairwise([*range(0, height, STRIP_ROWS), height]))
