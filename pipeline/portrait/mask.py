"""Segment the person with a small network, and exclude other people."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.faces.interpreter import TfliteNetwork
from pipeline.imaging.filters import Floats, Shape, connected_component_at, dilate, erode, resize, warp
from pipeline.portrait.crop import Frame, Outline, head_anchor, inside_photo, level_degrees, rotation, sample_square
from pipeline.portrait.doubt import Views, outline_confidence, resolve_doubt
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
# heights, rotation in degrees, and weight in the mean. False positives in a busy background differ between views. Close
# views show hair best, so they have a higher weight. Rotated views only reveal doubt.
VIEWS = (
    (1.9, -0.05, 0, 1.5),
    (2.35, 0.2, 0, 1.0),
    (2.9, 0.35, 0, 1.0),
    (3.7, 0.6, 0, 0.7),
    (2.35, 0.2, 15, 0),
    (2.35, 0.2, -15, 0),
)
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
        probability, _ = self._see(photo.pixels, matrix)
        head = _to(matrix, mesh[landmarks.NOSE_TIP, :2])
        own = share_of(mesh, [other.mesh for other in photo.bystanders], matrix, shape)
        person = connected_component_at((probability * own > 0.4).astype(np.float32), head[0], head[1])
        cut, crown = _meet_border(person, photo, matrix)
        contact = np.argwhere((probability > 0.5) & (np.abs(own - 0.5) < 0.3) & (dilate(person, 3) > 0))[:, ::-1]
        inverse = np.linalg.inv(np.r_[matrix, [[0, 0, 1]]])[:2]
        return Outline(cut, crown, np.c_[contact + 0.5, np.ones(len(contact))] @ inverse.T)

    def predict(self, photo: SourcePhoto, frame: Frame, shape: Shape) -> Floats:
        """Return the probability of the person in the frame, (H, W).

        The result is the weighted mean over all views, except where the views disagree. shape: height and width of the
        result. Can be smaller than the frame."""
        to_work = np.diag([shape[1] / frame.shape[1], shape[0] / frame.shape[0]])
        matrix, mesh = to_work @ frame.matrix, frame.place(photo.face.mesh)
        mesh = np.asarray(mesh * (shape[0] / frame.shape[0]), np.float32)
        picture = sample_square(photo.pixels, matrix, max(shape))[: shape[0], : shape[1]] / np.float32(255)
        reduced = Frame(matrix, frame.scale * shape[0] / frame.shape[0], shape)
        inside = inside_photo(photo.pixels.shape[:2], reduced)
        own = share_of(photo.face.mesh, [other.mesh for other in photo.bystanders], matrix, shape)
        views = self.views(photo, frame, shape)
        # Bystanders are background, so their hair and clothes count as colors of the background.
        half = views.each.shape[1], views.each.shape[2]
        views = Views(views.mean * own, views.each * np.clip(resize(own, half), 0, 1), views.covered)
        return resolve_doubt(views, np.asarray(picture, np.float32), inside, mesh)

    def views(self, photo: SourcePhoto, frame: Frame, shape: Shape) -> Views:
        """Return the predictions of the network for several views of the person in the frame.

        shape: height and width of the mean. Can be smaller than the frame."""
        height, width = frame.shape
        half = shape[0] // 2, shape[1] // 2
        mesh = frame.place(photo.face.mesh)
        unit, eyes = landmarks.face_height(mesh), head_anchor(mesh)
        window, whole = _feathered_window(), np.ones((NETWORK_SIDE, NETWORK_SIDE), np.float32)
        total, weight = np.zeros(shape, np.float32), np.full(shape, 1e-6, np.float32)
        each, covered = [], []
        for faces, below_eyes, degrees, view_weight in VIEWS:
            turn = rotation(degrees) * (NETWORK_SIDE / (faces * unit))
            to_view = np.c_[turn, NETWORK_SIDE / 2 - turn @ (eyes + np.array([0, below_eyes * unit]))]
            matrix = to_view[:, :2] @ frame.matrix
            matrix[:, 2] += to_view[:, 2]
            back = np.linalg.inv(np.r_[to_view, [[0, 0, 1]]])[:2]
            to_work, to_half = (np.diag([edges[1] / width, edges[0] / height]) @ back for edges in (shape, half))
            seen = self._see(photo.pixels, matrix)
            each += [np.clip(warp(one, to_half, half), 0, 1) for one in seen]
            covered += 2 * [cv2.warpAffine(whole, to_half, (half[1], half[0])) > 0.99]
            if view_weight:
                share = view_weight * warp(window, to_work, shape)
                total += share * warp(np.asarray((seen[0] + seen[1]) / 2, np.float32), to_work, shape)
                weight += share
        mean = np.asarray(np.clip(total / weight, 0, 1), np.float32)
        return Views(mean, np.array(each, np.float32), np.array(covered))

    def confidence(self, photo: SourcePhoto, frame: Frame) -> float:
        """Return how sure the network is about the person's outline in the frame, 0..1. See `outline_confidence`."""
        return outline_confidence(
            self.views(photo, frame, (NETWORK_SIDE, NETWORK_SIDE * frame.shape[1] // frame.shape[0]))
        )

    def _see(self, photo: Pixels, matrix: NDArray[np.float64]) -> tuple[Floats, Floats]:
        """Return the network's prediction for a view of the photo, and for the mirrored view."""
        picture = np.asarray(sample_square(photo, matrix, NETWORK_SIDE) / np.float32(255), np.float32)
        mirrored = self._network.run(np.ascontiguousarray(picture[:, ::-1]))[0][:, ::-1, 0].copy()
        return self._network.run(picture)[0][..., 0].copy(), mirrored


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
