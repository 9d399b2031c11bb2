"""Segment the person with a small network, and exclude other people."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.faces.interpreter import TfliteNetwork
from pipeline.imaging.filters import Floats, Shape, connected_component_at, dilate, erode, warp
from pipeline.portrait.crop import Frame, Outline, head_anchor, level_degrees, rotation, sample_square
from pipeline.types import Mesh, Pixels, SourcePhoto
from pipeline.weights import Weights

NETWORK_SIDE = 256

# The overview for choosing the frame: its side in face heights, and the height of the eyes as a fraction of its side.
OVERVIEW_SIDE = 4.4
OVERVIEW_EYES = 0.36
BORDER_SHARE = 0.012

# Minimum height of a head above its face, in face heights.
MIN_HAIR = 0.18

# Views for the network, each also mirrored: side in face heights, distance of the center below the eyes in face
# heights, and weight. False positives in a busy background differ between views. Close views show hair best, so they
# have a higher weight.
VIEWS = ((1.9, -0.05, 1.5), (2.35, 0.2, 1.0), (2.9, 0.35, 1.0), (3.7, 0.6, 0.7))
VIEW_FEATHER = 16

# Pixels within this distance (in face heights) of a person's head or body axis belong to that person, even if another
# person is behind.
OWN_HAIR, OWN_BODY = 0.95, 0.75


class PersonMask:
    """Predicts the probability, 0..1, that a pixel belongs to the person. Not thread-safe."""

    def __init__(self, weights: Weights, threads: int) -> None:
        self._network = TfliteNetwork(weights.path("person_mask"), threads)

    def outline(self, photo: SourcePhoto) -> Outline:
        """Return the points of the person that limit the frame, from one view of head and shoulders."""
        mesh = photo.face.mesh
        matrix = _overview_matrix(mesh)
        shape = (NETWORK_SIDE, NETWORK_SIDE)
        probability = self._see(photo.pixels, matrix, mirrored=False)
        head = _to(matrix, mesh[landmarks.NOSE_TIP, :2])
        own = share_of(mesh, [other.mesh for other in photo.bystanders], matrix, shape)
        person = connected_component_at((probability * own > 0.4).astype(np.float32), head[0], head[1])
        cut, crown = _meet_border(person, photo, matrix)
        contact = np.argwhere((probability > 0.5) & (np.abs(own - 0.5) < 0.3) & (dilate(person, 3) > 0))[:, ::-1]
        inverse = np.linalg.inv(np.r_[matrix, [[0, 0, 1]]])[:2]
        return Outline(cut, crown, np.c_[contact + 0.5, np.ones(len(contact))] @ inverse.T)

    def predict(self, photo: SourcePhoto, frame: Frame, shape: Shape) -> Floats:
        """Return the probability of the person in the frame, (H, W).

        The result is the weighted mean over all views. shape: height and width of the result. Can be smaller than the
        frame."""
        height, width = frame.shape
        to_work = np.diag([shape[1] / width, shape[0] / height])
        mesh = frame.place(photo.face.mesh)
        unit, eyes = landmarks.face_height(mesh), head_anchor(mesh)
        window = _feathered_window()
        total, weight = np.zeros(shape, np.float32), np.full(shape, 1e-6, np.float32)
        for faces, below_eyes, view_weight in VIEWS:
            factor = NETWORK_SIDE / (faces * unit)
            shift = NETWORK_SIDE / 2 - factor * (eyes + np.array([0, below_eyes * unit]))
            matrix = factor * frame.matrix
            matrix[:, 2] += shift
            seen = self._see(photo.pixels, matrix, mirrored=False) + self._see(photo.pixels, matrix, mirrored=True)
            back = np.c_[to_work / factor, to_work @ (-shift / factor)]
            covered = view_weight * warp(window, back, shape)
            total += covered * warp(np.asarray(seen / 2, np.float32), back, shape)
            weight += covered
        probability = np.clip(total / weight, 0, 1)
        matrix = to_work @ frame.matrix
        own = share_of(photo.face.mesh, [other.mesh for other in photo.bystanders], matrix, shape)
        return np.asarray(probability * own, np.float32)

    def _see(self, photo: Pixels, matrix: NDArray[np.float64], mirrored: bool) -> Floats:
        picture = np.asarray(sample_square(photo, matrix, NETWORK_SIDE) / np.float32(255), np.float32)
        if mirrored:
            return self._network.run(np.ascontiguousarray(picture[:, ::-1]))[0][:, ::-1, 0].copy()
        return self._network.run(picture)[0][..., 0].copy()


def share_of(mesh: Mesh, others: Sequence[Mesh], matrix: NDArray[np.float64], shape: Shape) -> Floats:
    """Return the probability that each pixel belongs to this person instead of a bystander, (H, W), 0..1.

    Returns 1 everywhere if there are no bystanders."""
    if not others:
        return np.ones(shape, np.float32)
    unit = landmarks.face_height(mesh)
    own = _distance_to_body(mesh, matrix, shape)
    distances = []
    for other in others:
        distance = _distance_to_body(other, matrix, shape)
        if other[landmarks.NOSE_TIP, 1] < mesh[landmarks.NOSE_TIP, 1] - 0.3 * unit:
            # A bystander whose head is clearly higher is behind. Therefore this person's hair and shoulders cover the
            # bystander's body.
            hair = _distance_to_body(mesh, matrix, shape, head_only=True) < OWN_HAIR
            distance = np.where(hair | (own < OWN_BODY), np.inf, distance)
            distance = np.minimum(distance, _distance_to_body(other, matrix, shape, head_only=True))
        distances.append(distance)
    theirs = np.minimum.reduce(distances)
    return np.asarray(1 / (1 + np.exp(np.clip((own - theirs) * 24, -60, 60))), np.float32)


def _distance_to_body(mesh: Mesh, matrix: NDArray[np.float64], shape: Shape, head_only: bool = False) -> Floats:
    """Return the distance of each pixel from a head and the body below it.

    The unit of the distance grows with the width of head and body."""
    top, chin = (_to(matrix, mesh[index, :2]) for index in (landmarks.FOREHEAD_TOP, landmarks.CHIN))
    height = float(np.hypot(*(chin - top)))
    center = (top + chin) / 2
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    below = rows - center[1]
    if head_only:
        return np.asarray(np.hypot((columns - center[0]) / 0.72, below / 0.95) / height, np.float32)
    half_width = np.where(below < 0, 0.72, 0.72 + np.clip(below / height - 0.55, 0, 0.9))
    vertical = np.where(below < 0, below / 0.95, np.clip(below - 0.3 * height, 0, None) * 0.12)
    return np.asarray(np.hypot((columns - center[0]) / half_width, vertical) / height, np.float32)


def _overview_matrix(mesh: Mesh) -> NDArray[np.float64]:
    """Return the map (2, 3) to an upright square around head and shoulders, the view that suits the network best."""
    side = OVERVIEW_SIDE * landmarks.face_height(mesh)
    matrix = np.empty((2, 3))
    matrix[:, :2] = rotation(level_degrees(mesh)) * (NETWORK_SIDE / side)
    matrix[:, 2] = NETWORK_SIDE * np.array([0.5, OVERVIEW_EYES]) - matrix[:, :2] @ head_anchor(mesh)
    return matrix


def _meet_border(
    person: Floats, photo: SourcePhoto, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return the points where the photo's border cuts the person, and the crown of the head.

    Both are in pixels of the photo. The crown is None if the mask is empty."""
    height, width = photo.pixels.shape[:2]
    inverse = np.linalg.inv(np.r_[matrix, [[0, 0, 1]]])[:2]
    rows, columns = np.nonzero(person)
    places = np.c_[columns + 0.5, rows + 0.5, np.ones(len(rows))] @ inverse.T
    inside = (places > 0).all(axis=1) & (places < (width, height)).all(axis=1)
    beyond, places, rows = places[~inside], places[inside], rows[inside]
    near = BORDER_SHARE * min(width, height) + 1.5 / np.hypot(*matrix[:, 0])
    x, y = places.T

    cut = [np.c_[np.zeros((x < near).sum()), y[x < near]]]
    cut.append(np.c_[np.full((x > width - near).sum(), width), y[x > width - near]])
    # Hair that ends just below the top border is not cut. If hair is cut, the mask continues into the repeated pixels
    # beyond the border.
    above = beyond[(beyond[:, 1] < 0) & (beyond[:, 1] > -near), 0]
    cut.append(np.c_[above, np.zeros(len(above))])
    face = landmarks.bounds(photo.face.mesh)
    if face.top < MIN_HAIR * face.height:
        # There is too little space above the face for the rest of the head. The head must be cut, whatever the mask
        # shows.
        cut.append(np.c_[np.linspace(face.left, face.right, 20), np.zeros(20)])
    # The bottom border always cuts the person, whatever the mask shows.
    reach = 1.6 * landmarks.face_height(photo.face.mesh)
    center = float(photo.face.mesh[landmarks.NOSE_TIP, 0])
    bottom = np.linspace(max(0, center - reach), min(width, center + reach), 60)
    cut.append(np.c_[bottom, np.full(60, height)])
    crown = places[np.argmin(rows)] if len(rows) else None
    return np.unique(np.concatenate(cut).round(), axis=0), crown


def _to(matrix: NDArray[np.float64], point: Floats) -> NDArray[np.float64]:
    return np.asarray(matrix[:, :2] @ point + matrix[:, 2], np.float64)


def _feathered_window() -> Floats:
    """Return the weights of a view: 1 in the middle and 0 at its border, where the network is least reliable."""
    ramp = np.clip(np.minimum(np.arange(NETWORK_SIDE), np.arange(NETWORK_SIDE)[::-1]) / VIEW_FEATHER, 0, 1)
    return np.asarray(np.minimum(ramp[:, None], ramp[None]), np.float32)


def keep_person(probability: Floats, mesh: Mesh) -> Floats:
    """Keep only the connected part of the mask that contains the face.

    Removes other people in the background. mesh: in pixels of the mask."""
    side = float(np.sqrt(probability.size))
    # Erode first, because a neighbor's shoulder is often connected by only a few pixels.
    opened = erode((probability > 0.5).astype(np.float32), 0.008 * side)
    nose = mesh[landmarks.NOSE_TIP, :2]
    kept = connected_component_at(opened, float(nose[0]), float(nose[1]))
    return probability * dilate(kept, 0.008 * side + 0.012 * side)
