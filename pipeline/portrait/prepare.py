"""Prepare one photo of the person: crop, cut out and retouch. The result is shared by all styles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.measure import face_width_px
from pipeline.faces.resolution import estimate_detail, has_detail_for_4k
from pipeline.imaging.filters import Floats, from_lab, to_lab, to_linear
from pipeline.imaging.skin import (
    Skin,
    clamp_lightness,
    correct_cast,
    correct_exposure,
    eye_whites,
    measure_skin,
    restore_skin,
    skin_area,
)
from pipeline.portrait import light
from pipeline.portrait.background import blurred_background
from pipeline.portrait.crop import Frame, crop_frame, inside_photo
from pipeline.portrait.framing import extend_photo, frame_head
from pipeline.portrait.mask import PersonMask, keep_person
from pipeline.portrait.matte import extract_matte, own_colors, work_shape
from pipeline.portrait.upscaled import (
    ENLARGE_FROM,
    NetworkInput,
    UpscaledPerson,
    crop_for_network,
    enlarge_frame,
    enlarge_photo,
    refine,
    shrink_frame,
    small_factor,
)
from pipeline.types import Mesh, Progress, Size, SourcePhoto, within
from pipeline.upscaling.upscale import UpscaleNetwork

# Time to cut out and retouch one photo, expressed as the number of pixels that the network enlarges in that time.
CUT_OUT_PIXELS = 30_000


@dataclass(frozen=True, eq=False, repr=False)
class Portrait:
    """The person, cut out of one photo and cropped to the headshot's frame.

    For a large headshot, the arrays have the size of a smaller picture, and `upscaled` contains the full size.

    Attributes:
        person: (H, W, 3) display values.
        alpha: (H, W) alpha matte.
        shape: (H/4, W/4, 3) surface normals.
        background: (h, w, 3) background of the photo, in linear light.
        mesh: face mesh in pixels of the frame.
        skin: (H, W), True where skin is measured.
        source: measurement of the photo's skin before any correction.
        light_side: side from which the photo is lit, -1 (left) to 1 (right).
        scale: pixels of the full-size headshot per pixel of the photo. If the photo was enlarged, per pixel of the
            enlarged photo.
        upscaled: the person at full size. None if the headshot is small.
        enlarged: True if a neural network enlarged the photo.
    """

    person: Floats
    alpha: Floats
    shape: Floats
    background: Floats
    mesh: Mesh
    skin: NDArray[np.bool_]
    source: Skin
    light_side: float
    scale: float
    upscaled: UpscaledPerson | None = None
    enlarged: bool = False


def frame_photo(photo: SourcePhoto, size: Size, mask: PersonMask) -> tuple[Frame, Floats]:
    """Return the headshot's frame in this photo, and the probability of the person at each pixel.

    The probability is (h, w), at `work_shape`."""
    full = frame_head(photo.face.mesh, size, mask.outline(photo))
    frame = shrink_frame(full, small_factor(size))
    reduced = work_shape(frame.shape)
    mesh = frame.place(photo.face.mesh)
    return full, keep_person(mask.predict(photo, frame, reduced), mesh * (reduced[0] / frame.shape[0]))


@dataclass(frozen=True, eq=False, repr=False)
class PortraitPlan:
    """The plan for cutting the person out of one photo.

    Attributes:
        photo: photo of the person, with mirrored strips at its borders.
        frame: frame of the headshot in the photo.
        probability: (h, w) of the frame, probability that each pixel belongs to the person.
        cut: input of the upscaling network. None if the photo is large enough, or has too little detail.
        is_plain: True if the photo has too little detail, so that the small picture is enlarged without the network.
    """

    photo: SourcePhoto
    frame: Frame
    probability: Floats
    cut: NetworkInput | None
    is_plain: bool = False

    @property
    def network_pixels(self) -> int:
        """Return the number of pixels that the network must enlarge, without the context of the tiles."""
        return 0 if self.cut is None else int(self.cut.wanted.sum())


def plan_portrait(photo: SourcePhoto, size: Size, mask: PersonMask) -> PortraitPlan:
    """Plan the portrait of one photo.

    Planning takes half a second. Carrying out the plan can take minutes if the photo must be enlarged."""
    photo = extend_photo(photo)
    frame, probability = frame_photo(photo, size, mask)
    if small_factor(size) == 1 or frame.scale <= ENLARGE_FROM:
        return PortraitPlan(photo, frame, probability, None)
    detail_share = estimate_detail(photo.pixels, photo.face.mesh)
    if not has_detail_for_4k(face_width_px(photo.face.mesh), detail_share):
        return PortraitPlan(photo, frame, probability, None, is_plain=True)
    return PortraitPlan(photo, frame, probability, crop_for_network(photo, frame, probability, detail_share))


def choose_photos(costs: Sequence[int], max_pixels: int) -> list[int]:
    """Choose which photos to use, so that the network enlarges at most `max_pixels` in total.

    Returns the indices of the photos. Always uses the first photo, and photos that cost nothing. costs: pixels to
    enlarge per photo, best photo first."""
    chosen, spent = [0], costs[0]
    for index, cost in enumerate(costs[1:], start=1):
        if cost == 0 or spent + cost <= max_pixels:
            chosen.append(index)
            spent += cost
    return chosen


def prepare_portrait(plan: PortraitPlan, size: Size, network: UpscaleNetwork | None, on_progress: Progress) -> Portrait:
    """Rotate the photo upright, and crop, cut out and retouch the person.

    If the plan contains a `cut`, enlarges the photo first, which needs the network."""
    photo, full, probability = plan.photo, plan.frame, plan.probability
    factor = small_factor(size)
    enlarged = network is not None and plan.cut is not None
    if network is not None and plan.cut is not None:
        share = plan.network_pixels / (plan.network_pixels + CUT_OUT_PIXELS)
        photo, full = enlarge_photo(photo, full, plan.cut, network, within(on_progress, 0, share))
    frame = shrink_frame(full, factor)
    mesh = frame.place(photo.face.mesh)
    picture = crop_frame(photo.pixels, frame)
    alpha = extract_matte(picture, probability, inside_photo(photo.pixels.shape[:2], frame), mesh)

    area = skin_area(mesh, frame.shape)
    source = measure_skin(to_lab(picture), area)
    background = blurred_background(to_linear(correct_cast(picture, source)), alpha)
    lab = to_lab(correct_cast(own_colors(picture, alpha), source))
    side = light.light_side(lab, area, mesh)
    lab = correct_exposure(lab, source, eye_whites(lab, mesh))
    skin = measure_skin(lab, area)
    lab = light.retouch(light.fill_face(lab, mesh), area, skin, mesh, frame.scale)
    lab = clamp_lightness(restore_skin(lab, area, skin.lightness), area, source)
    person = from_lab(lab)
    large = photo.pixels, full
    if plan.is_plain:
        # The small picture shows all detail that the photo has, without its noise and JPEG blocks.
        large = np.asarray(np.rint(255 * picture), np.uint8), enlarge_frame(frame.shape, factor)
    upscaled = refine(*large, picture, person, alpha) if factor > 1 else None
    shape = light.shape_of(alpha)
    on_progress(1.0)
    return Portrait(person, alpha, shape, background, mesh, area, source, side, full.scale, upscaled, enlarged)
