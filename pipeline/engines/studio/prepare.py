"""One photo of the person, made ready once for every look."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.engines.studio import colours, light
from pipeline.engines.studio.crop import Frame, frame_head, inside_photo, take
from pipeline.engines.studio.filters import Floats, from_lab, to_lab, to_linear
from pipeline.engines.studio.fine import ENLARGE_FROM, Fine, enlarge_photo, refine, shrunk, small_factor
from pipeline.engines.studio.mask import PersonMask, keep_person
from pipeline.engines.studio.matte import extract_matte, own_colours, work_shape
from pipeline.engines.studio.sets import surroundings
from pipeline.types import Mesh, Progress, Size, SourcePhoto
from pipeline.upscale import Network


@dataclass(frozen=True, eq=False, repr=False)
class Portrait:
    """The person cut out of one photo, in the frame of the headshot or, for a large one, of a small picture of it.

    person (H, W, 3) display values; alpha (H, W); shape (H/4, W/4, 3) normals; background (h, w, 3) linear light of
    the photo's own surroundings; mesh in pixels of the frame; skin where it was measured, source what the photo's
    skin measured before anything was done to it; light_side -1 left .. 1 right; scale from photo to frame;
    fine: the person at full size; enlarged: whether a trained network had a part in it."""

    person: Floats
    alpha: Floats
    shape: Floats
    background: Floats
    mesh: Mesh
    skin: NDArray[np.bool_]
    source: colours.Skin
    light_side: float
    scale: float
    fine: Fine | None = None
    enlarged: bool = False


def frame_photo(photo: SourcePhoto, size: Size, mask: PersonMask) -> tuple[Frame, Floats]:
    """The frame of the headshot in this photo, and the belief, at `work_shape`, of where the person is in it."""
    full = frame_head(photo.face.mesh, size, mask.outline(photo))
    frame = shrunk(full, small_factor(size))
    reduced = work_shape(frame.shape)
    mesh = frame.place(photo.face.mesh)
    return full, keep_person(mask.believe(photo, frame, reduced), mesh * (reduced[0] / frame.shape[0]))


def prepare_portrait(
    photo: SourcePhoto, size: Size, mask: PersonMask, network: Network | None, on_progress: Progress
) -> Portrait:
    """Frames, levels, cuts out and develops the person of one photo; enlarges them first when the size asks for it.

    network: for sizes above a preview's."""
    full, belief = frame_photo(photo, size, mask)
    factor = small_factor(size)
    frame = shrunk(full, factor)
    mesh = frame.place(photo.face.mesh)
    enlarged = network is not None and full.scale > ENLARGE_FROM
    if network is not None and enlarged:
        photo, full = enlarge_photo(photo, full, belief, network, on_progress)
        frame = shrunk(full, factor)
    picture = take(photo.pixels, frame)
    alpha = extract_matte(picture, belief, inside_photo(photo.pixels.shape[:2], frame), mesh)

    area = colours.skin_area(mesh, frame.shape)
    source = colours.measure_skin(to_lab(picture), area)
    background = surroundings(to_linear(colours.correct_cast(picture, source)), alpha)
    lab = to_lab(colours.correct_cast(own_colours(picture, alpha), source))
    side = light.light_side(lab, area, mesh)
    lab = colours.correct_exposure(lab, source, colours.eye_whites(lab, mesh))
    skin = colours.measure_skin(lab, area)
    lab = light.retouch(light.fill_face(lab, mesh), area, skin, mesh, frame.scale)
    lab = colours.hold_in_band(colours.restore_skin(lab, area, skin.lightness), area, source)
    person = from_lab(lab)
    fine = refine(photo.pixels, full, picture, person, alpha) if factor > 1 else None
    shape = light.shape_of(alpha)
    return Portrait(person, alpha, shape, background, mesh, area, source, side, full.scale, fine, enlarged)
