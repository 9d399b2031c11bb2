"""Framing of real photos, which packages ship: whole, and cut off on each side."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline.faces import landmarks
from pipeline.portrait.framing import extend_photo, frame_head
from pipeline.portrait.mask import PersonMask
from pipeline.types import PREVIEW, Pixels, SourcePhoto
from tests.helpers import photos

# The classic framing: position of the eyes, height of the face, middle of the face.
EYES, FACE, CENTER = (0.36, 0.46), (0.34, 0.50), (0.43, 0.57)
PEOPLE: dict[str, Callable[[], Pixels]] = {
    "astronaut": photos.astronaut,
    "suit": lambda: photos.halved(photos.obama()),
    "podium": lambda: photos.halved(photos.obama_speaking()),
    "white hair": lambda: photos.halved(photos.biden()),
}


@pytest.fixture(scope="module")
def mask(weights):
    return PersonMask(weights, 1)


@pytest.fixture(scope="module")
def people(finder) -> dict[str, SourcePhoto]:
    found = {name: read() for name, read in PEOPLE.items()}
    return {name: SourcePhoto(pixels, finder.find(pixels)[0]) for name, pixels in found.items()}


def measure(photo: SourcePhoto, mask: PersonMask) -> tuple[float, float, float]:
    """Return position of the eyes, height and middle of the face, as shares of the preview's frame."""
    photo = extend_photo(photo)
    frame = frame_head(photo.face.mesh, PREVIEW, mask.outline(photo))
    mesh = frame.place(photo.face.mesh)
    eyes, box = np.mean(landmarks.eye_centers(mesh), axis=0), landmarks.bounds(mesh)
    middle = (box.left + box.right) / 2 / PREVIEW.width
    return float(eyes[1]) / PREVIEW.height, landmarks.face_height(mesh) / PREVIEW.height, middle


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("below", [None, 0.6])
def test_heads_are_where_a_photographer_places_them_however_early_the_photo_ends(people, mask, name, below):
    """below: height of the photo below the chin, in face heights; None is the whole photo."""
    photo = people[name]
    if below is not None:
        bottom = landmarks.bounds(photo.face.mesh).bottom + below * landmarks.face_height(photo.face.mesh)
        photo = SourcePhoto(photo.pixels[: int(bottom)].copy(), photo.face)

    eyes, face, center = measure(photo, mask)

    assert EYES[0] <= eyes <= EYES[1]
    assert FACE[0] <= face <= FACE[1]
    assert CENTER[0] <= center <= CENTER[1]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_photo_that_ends_at_a_shoulder_leaves_the_head_near_the_middle(people, mask, side):
    photo = people["suit"]
    box, room = landmarks.bounds(photo.face.mesh), 0.45 * landmarks.face_height(photo.face.mesh)
    start, end = (int(box.left - room), None) if side == "left" else (0, int(box.right + room))
    mesh = np.asarray(photo.face.mesh - np.array([start, 0, 0]), np.float32)
    photo = SourcePhoto(photo.pixels[:, start:end].copy(), replace(photo.face, mesh=mesh))

    eyes, face, center = measure(photo, mask)

    assert EYES[0] <= eyes <= EYES[1]
    assert FACE[0] <= face <= FACE[1]
    assert CENTER[0] <= center <= CENTER[1]
