"""Where the person is, roughly: a small network's belief from several views, and what keeps neighbours out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.engines.studio.crop import Frame, Outline, head_anchor, level_degrees, look, rotation
from pipeline.engines.studio.filters import Floats, Shape, component_at, grow, shrink, warp
from pipeline.faces import points
from pipeline.faces.interpreter import Network
from pipeline.types import Mesh, Pixels, SourcePhoto
from pipeline.weights import Weights

NETWORK_SIDE = 256

# The first look: so many face heights across, the eyes at this share of the height.
FIRST_LOOK_SIDE = 4.4
FIRST_LOOK_EYES = 0.36
BORDER_SHARE = 0.012

# The network sees the frame at these zooms, each also mirrored. Ghosts of a busy background rarely agree.
VIEWS = (0.82, 1.0, 1.3)


class PersonMask:
    """Belief, 0..1, that a pixel belongs to a person. Not thread-safe."""

    def __init__(self, weights: Weights, threads: int) -> None:
        self._network = Network(weights.path("person_mask"), threads)

    def outline(self, photo: SourcePhoto) -> Outline:
        """What framing must respect: where the photo's border cuts this person, and how high the hair reaches."""
        mesh = photo.face.mesh
        matrix = _first_look(mesh)
        shape = (NETWORK_SIDE, NETWORK_SIDE)
        belief = self._see(photo.pixels, matrix, mirrored=False)
        head = _to(matrix, mesh[points.NOSE_TIP, :2])
        belief = belief * share_of(mesh, [other.mesh for other in photo.bystanders], matrix, shape)
        person = component_at((belief > 0.4).astype(np.float32), head[0], head[1])
        return Outline(*_meet_border(person, photo, matrix))

    def believe(self, photo: SourcePhoto, frame: Frame, shape: Shape) -> Floats:
        """(H, W) at the given shape of the frame: the mean over all views, for this person alone."""
        height, width = frame.shape
        to_work = np.diag([shape[1] / width, shape[0] / height])
        total = np.zeros(shape, np.float32)
        for zoom in VIEWS:
            side = zoom * max(width, height)
            factor = NETWORK_SIDE / side
            # A tighter look keeps the hair in view, a wider one the shoulders.
            top = (height - side) * (0.3 if zoom < 1 else 0.7)
            view = np.array([[factor, 0, -factor * (width - side) / 2], [0, factor, -factor * top]])
            matrix = view[:, :2] @ frame.matrix
            matrix[:, 2] += view[:, 2]
            seen = sum(self._see(photo.pixels, matrix, mirrored) for mirrored in (False, True))
            back = np.c_[to_work / factor, to_work @ (-view[:, 2] / factor)]
            total += warp(np.asarray(seen / 2, np.float32), back, shape)
        belief = np.clip(total / len(VIEWS), 0, 1)
        matrix = to_work @ frame.matrix
        own = share_of(photo.face.mesh, [other.mesh for other in photo.bystanders], matrix, shape)
        return np.asarray(belief * own, np.float32)

    def _see(self, photo: Pixels, matrix: NDArray[np.float64], mirrored: bool) -> Floats:
        picture = np.asarray(look(photo, matrix, NETWORK_SIDE) / np.float32(255), np.float32)
        if mirrored:
            return self._network.run(np.ascontiguousarray(picture[:, ::-1]))[0][:, ::-1, 0].copy()
        return self._network.run(picture)[0][..., 0].copy()


def share_of(mesh: Mesh, others: Sequence[Mesh], matrix: NDArray[np.float64], shape: Shape) -> Floats:
    """(H, W), 0..1: how far each place is this person's rather than a bystander's; 1 everywhere when alone."""
    if not others:
        return np.ones(shape, np.float32)
    own = _distance_to_body(mesh, matrix, shape)
    theirs = np.minimum.reduce([_distance_to_body(other, matrix, shape) for other in others])
    return np.asarray(1 / (1 + np.exp(np.clip((own - theirs) * 14, -60, 60))), np.float32)


def _distance_to_body(mesh: Mesh, matrix: NDArray[np.float64], shape: Shape) -> Floats:
    """Distance from a head and the body below it, in units that grow with the width of each."""
    top, chin = (_to(matrix, mesh[index, :2]) for index in (points.FOREHEAD_TOP, points.CHIN))
    height = float(np.hypot(*(chin - top)))
    centre = (top + chin) / 2
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    below = rows - centre[1]
    half_width = np.where(below < 0, 0.72, 0.72 + np.clip(below / height - 0.55, 0, 0.9))
    vertical = np.where(below < 0, below / 0.95, np.clip(below - 0.3 * height, 0, None) * 0.12)
    return np.asarray(np.hypot((columns - centre[0]) / half_width, vertical) / height, np.float32)


def _first_look(mesh: Mesh) -> NDArray[np.float64]:
    """(2, 3): a level square around head and shoulders, as the network likes to see people."""
    side = FIRST_LOOK_SIDE * points.face_height(mesh)
    matrix = np.empty((2, 3))
    matrix[:, :2] = rotation(level_degrees(mesh)) * (NETWORK_SIDE / side)
    matrix[:, 2] = NETWORK_SIDE * np.array([0.5, FIRST_LOOK_EYES]) - matrix[:, :2] @ head_anchor(mesh)
    return matrix


def _meet_border(
    person: Floats, photo: SourcePhoto, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """The points of the photo's border that cut the person, and the crown of the head, in pixels of the photo."""
    height, width = photo.pixels.shape[:2]
    inverse = np.linalg.inv(np.r_[matrix, [[0, 0, 1]]])[:2]
    rows, columns = np.nonzero(person)
    places = np.c_[columns + 0.5, rows + 0.5, np.ones(len(rows))] @ inverse.T
    inside = (places > 0).all(axis=1) & (places < (width, height)).all(axis=1)
    places, rows = places[inside], rows[inside]
    near = BORDER_SHARE * min(width, height) + 1.5 / np.hypot(*matrix[:, 0])
    x, y = places.T

    cut = [np.c_[np.zeros((x < near).sum()), y[x < near]]]
    cut.append(np.c_[np.full((x > width - near).sum(), width), y[x > width - near]])
    cut.append(np.c_[x[y < near], np.zeros((y < near).sum())])
    # The bottom border always cuts: everybody goes on below it, whatever the mask says there.
    reach = 1.6 * points.face_height(photo.face.mesh)
    centre = float(photo.face.mesh[points.NOSE_TIP, 0])
    bottom = np.linspace(max(0, centre - reach), min(width, centre + reach), 60)
    cut.append(np.c_[bottom, np.full(60, height)])
    crown = places[np.argmin(rows)] if len(rows) else None
    return np.unique(np.concatenate(cut).round(), axis=0), crown


def _to(matrix: NDArray[np.float64], point: Floats) -> NDArray[np.float64]:
    return np.asarray(matrix[:, :2] @ point + matrix[:, 2], np.float64)


def keep_person(belief: Floats, mesh: Mesh) -> Floats:
    """The belief on the connected part that holds the face; a stranger in the background goes.

    mesh: in pixels of the belief."""
    side = float(np.sqrt(belief.size))
    # Opened a little first: a neighbour's shoulder often hangs on by a thread.
    opened = shrink((belief > 0.5).astype(np.float32), 0.008 * side)
    nose = mesh[points.NOSE_TIP, :2]
    kept = component_at(opened, float(nose[0]), float(nose[1]))
    return belief * grow(kept, 0.008 * side + 0.012 * side)
