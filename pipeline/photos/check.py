"""Check one photo: find its faces, measure them and apply the photo rules."""

from dataclasses import replace

from pipeline.faces.find import FaceFinder
from pipeline.faces.measure import measure, measure_photo
from pipeline.photos.rules import judge, judge_faceless
from pipeline.types import PhotoCheck, Pixels


def check_photo(
    pixels: Pixels,
    finder: FaceFinder,
    chosen: int | None = None,
    *,
    ask_first: bool = False,
    is_adult: bool = False,
) -> PhotoCheck:
    """Return the verdict on a photo, its faces (widest first) and their measurements.

    Args:
        pixels: the photo.
        finder: face finder.
        chosen: index of the person's face, or None if it is not known.
        ask_first: True to ask for a choice whenever there are several faces and at least one is usable.
        is_adult: True if the person is known to be an adult. Their age is not estimated then.

    Raises FaceNotFound if the face `chosen` does not exist.
    """
    faces = finder.find(pixels)
    if not faces and chosen is None:
        return PhotoCheck(judge_faceless(measure_photo(pixels)))
    measurements = tuple(measure(pixels, face) for face in faces)
    if not is_adult:
        measurements = tuple(
            replace(measured, child_share=finder.age_network.child_share(pixels, face))
            for face, measured in zip(faces, measurements, strict=True)
        )
    return PhotoCheck(judge(measurements, chosen, ask_first=ask_first), faces, measurements)
