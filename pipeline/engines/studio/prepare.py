"""One photo of the person, made ready once for every look."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.engines.studio import colours, light
from pipeline.engines.studio.crop import frame_head, inside_photo, take
from pipeline.engines.studio.filters import Floats, from_lab, to_lab, to_linear
from pipeline.engines.studio.mask import PersonMask, keep_person
from pipeline.engines.studio.matte import extract_matte, own_colours, work_shape
from pipeline.engines.studio.sets import surroundings
from pipeline.types import Mesh, Size, SourcePhoto


@dataclass(frozen=True, eq=False, repr=False)
class Portrait:
    """The person cut out of one photo, in the frame of the headshot.

    person (H, W, 3) display values; alpha (H, W); shape (H/4, W/4, 3) normals; background (h, w, 3) linear light of
    the photo's own surroundings; mesh in pixels of the frame; skin where it was measured, source what the photo's
    skin measured before anything was done to it; light_side -1 left .. 1 right; scale from photo to frame."""

    person: Floats
    alpha: Floats
    shape: Floats
    background: Floats
    mesh: Mesh
    skin: NDArray[np.bool_]
    source: colours.Skin
    light_side: float
    scale: float


def prepare_portrait(photo: SourcePhoto, size: Size, mask: PersonMask) -> Portrait:
    """Frames, levels, cuts out and develops the person of one photo."""
    frame = frame_head(photo.face.mesh, size, mask.outline(photo))
    mesh = frame.place(photo.face.mesh)
    picture = take(photo.pixels, frame)
    reduced = work_shape(frame.shape)
    belief = keep_person(mask.believe(photo, frame, reduced), mesh * (reduced[0] / frame.shape[0]))
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
    return Portrait(from_lab(lab), alpha, light.shape_of(alpha), background, mesh, area, source, side, frame.scale)
