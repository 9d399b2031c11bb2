"""Decide whether the places about which the segmentation network is in doubt belong to the person.

The network sees the photo in several views. Where the views disagree on an area wider than an outline, such as the
letters of a poster or a photographer next to the shoulder, their mean is not reliable. Such areas are decided by color,
texture, focus, body shape and connection to the person. All other pixels keep the mean of the views.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.imaging.filters import (
    Floats,
    Shape,
    blur,
    connected_component_at,
    dilate,
    erode,
    fill_convex_hull,
    gradients,
    resize,
    to_lab,
)
from pipeline.types import Mesh

Mask = NDArray[np.bool_]

# Means below BEHIND are surely background. A pixel is surely the person if its second lowest view is above PERSON. The
# views disagree if it is below DOUBTFUL.
BEHIND, DOUBTFUL, PERSON = 0.12, 0.7, 0.85

# Fractions of the frame's side: width of the narrowest doubtful area, and of the narrowest bridge to the person.
NARROWEST_AREA, NARROWEST_BRIDGE = 0.028, 0.032

# Points of the mesh in front of the ears.
EARS = (234, 454)

# Color is in Lab / 100. CHROMA counts more than lightness, which varies with the light. The place weights are the color
# distance that counts as much as the distance of a whole side.
CHROMA = 1.6
PERSON_PLACE_WEIGHT, BEHIND_PLACE_WEIGHT = 0.5, 0.12
MAX_SAMPLES = 3_000

# Blur, in octaves of the ratio of coarse to fine edges compared with the person, that counts as out of focus. A sure
# place loses its sureness above VERY_BLURRED.
BLURRED, VERY_BLURRED = 0.6, 1.5
BLUR_WEIGHT = 3.0

# Parts narrower than NARROWEST_PART of the frame's side that cover at least MIN_SCRAP of its area are examined.
# Parts whose color (as above, without lightness) is farther than SKIN_DISTANCE from that of the face are not skin.
NARROWEST_PART, MIN_SCRAP = 0.09, 0.0006
SKIN_DISTANCE = 0.11

# Weight of the evidence of one pixel compared with its four neighbors, and the color difference that separates
# neighbors.
EVIDENCE, NEIGHBOR_CONTRAST = 0.4, 0.05


@dataclass(frozen=True, eq=False)
class Views:
    """The network's predictions for one frame.

    Attributes:
        mean: (H, W) weighted mean, probability of the person.
        each: (N, h, w) prediction of each view, at half of the resolution.
        covered: (N, h, w) True where the view covers the frame.
    """

    mean: Floats
    each: Floats
    covered: Mask

    @property
    def low(self) -> Floats:
        """Return the second lowest prediction for each pixel, (h, w). One view alone can be wrong."""
        return np.asarray(np.sort(np.where(self.covered, self.each, 1), axis=0)[1], np.float32)


@dataclass(frozen=True, eq=False)
class Areas:
    """The frame, divided by how sure the network is. Each attribute is (h, w).

    Attributes:
        person: surely the person.
        behind: surely background, and inside the photo.
        doubtful: everything that is decided here.
    """

    person: Mask
    behind: Mask
    doubtful: Mask


def outline_confidence(views: Views) -> float:
    """Return how much the views agree on the person's outline, 0..1.

    1 means that they agree everywhere. Below 0.9, an area much wider than an outline is in doubt."""
    covered = views.covered.sum(axis=0) + 1e-6
    mean = np.where(views.covered, views.each, 0).sum(axis=0) / covered
    spread = np.sqrt((np.where(views.covered, views.each - mean, 0) ** 2).sum(axis=0) / covered)
    person = float((mean > 0.5).sum())
    return float(np.exp(-4 * spread.sum() / max(1.0, person)))


def resolve_doubt(views: Views, picture: Floats, inside: Floats, mesh: Mesh) -> Floats:
    """Return the probability of the person, (H, W), with all doubtful areas decided.

    Args:
        views: predictions of the network.
        picture: (H, W, 3) display values.
        inside: (H, W), 1 where the frame shows the photo.
        mesh: face mesh in pixels of the frame.
    """
    shape = views.low.shape[0], views.low.shape[1]
    scale = shape[0] / picture.shape[0]
    mesh, seen = np.asarray(mesh * scale, np.float32), resize(inside, shape) > 0.99
    mean = np.clip(resize(views.mean, shape), 0, 1)
    lab = np.asarray(to_lab(resize(picture, shape)) / 100 * np.array([1, CHROMA, CHROMA]), np.float32)
    blurred = _blur_octaves(picture, views.low > PERSON)
    areas = _divide(mean, views.low, blurred, seen, mesh)
    if not areas.doubtful.any():
        return _without_scraps(views.mean, lab, blurred, mesh)
    score = _color_score(lab, areas) + np.clip(1.5 * (mean + views.low - 1), -1.5, 1.5)
    score -= BLUR_WEIGHT * np.clip(blurred / BLURRED - 1, 0, 1) + 0.5 * _above_shoulders(mesh, shape)
    decided = _spread(lab, areas.doubtful, np.clip((mean - 0.22) / 0.4, 0, 1), score)
    decided = np.where(areas.doubtful, decided * _connected(decided, areas, mesh), mean)
    full = views.mean.shape[0], views.mean.shape[1]
    changed = np.clip(resize(areas.doubtful.astype(np.float32), full), 0, 1)
    mixed = np.asarray(views.mean + changed * (np.clip(resize(decided, full), 0, 1) - views.mean), np.float32)
    return _without_scraps(mixed, lab, blurred, mesh)


def _divide(mean: Floats, low: Floats, blurred: Floats, seen: Mask, mesh: Mesh) -> Areas:
    """Divide the frame into what is sure and what is doubtful."""
    side = float(np.sqrt(mean.size))
    shape = mean.shape[0], mean.shape[1]
    face = fill_convex_hull(landmarks.select_points(mesh, landmarks.OVAL), shape)
    possible = (mean > BEHIND) & seen & (face < 0.5)
    # An ear in front of a red curtain is easily mistaken for it.
    possible &= (near_ears(mesh, shape) < 0.5) | (mean < 0.6)
    # An ordinary outline is narrow and remains as it is.
    margin, radius = 0.010 * side, NARROWEST_AREA / 2 * side
    doubtful = possible & (low < DOUBTFUL)
    wide = doubtful & (dilate(erode(doubtful.astype(np.float32), radius), radius + 1) > 0)
    # A camera in front of a dark jacket is out of focus, although all views take it for the person.
    across, down = from_face(mesh, shape)
    far = (np.hypot(across / 0.85, down) > 0.85) & (np.abs(across) > 0.45)
    foreign = (possible & (blurred > VERY_BLURRED) & far).astype(np.float32)
    wide |= dilate(erode(foreign, 0.8 * margin), 1.2 * margin) > 0
    person = np.maximum(erode(((low > PERSON) & ~wide).astype(np.float32), 1.2 * margin), face)
    nose = mesh[landmarks.NOSE_TIP]
    own = connected_component_at(person, float(nose[0]), float(nose[1]))
    wide |= (dilate(person - own, 1.4 * margin) > 0) & (mean > BEHIND)
    near = dilate(wide.astype(np.float32), 2 * margin) > 0
    doubtful = (wide | (near & (mean > BEHIND) & (low < PERSON))) & seen & (own < 0.5)
    if not wide.any():
        doubtful[:] = False
    behind = (erode((mean < BEHIND).astype(np.float32), 0.8 * margin) > 0) & seen
    return Areas(own > 0.5, behind, doubtful)


def near_ears(mesh: Mesh, shape: Shape) -> Floats:
    """Return (H, W): 1 on the ears and close to them, fading to 0 farther away. mesh: in pixels of the result."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    distance = np.minimum.reduce([np.hypot(columns - x, rows - y) for x, y in mesh[list(EARS), :2]])
    return np.asarray(np.clip((0.32 - distance / landmarks.face_height(mesh)) / 0.06, 0, 1), np.float32)


def from_face(mesh: Mesh, shape: Shape) -> tuple[Floats, Floats]:
    """Return the signed distance of each pixel from the middle of the face, across and down, in face heights."""
    middle = (mesh[landmarks.CHIN] + mesh[landmarks.FOREHEAD_TOP]) / 2
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    unit = landmarks.face_height(mesh)
    return (columns - middle[0]) / unit, (rows - middle[1]) / unit


def _above_shoulders(mesh: Mesh, shape: Shape) -> Floats:
    """Return (h, w): 1 at the sides of the head above the shoulders, where bystanders are seen. 0 elsewhere."""
    across, down = from_face(mesh, shape)
    line = 0.6 + 0.42 * np.abs(across)
    return np.asarray(np.clip((np.abs(across) - 0.65) / 0.2, 0, 1) * np.clip((line - down) / 0.15, 0, 1), np.float32)


def _blur_octaves(picture: Floats, person: Mask) -> Floats:
    """Return how much more blurred than the person's edges the edges are around each pixel, (h, w), in octaves.

    0 where there are no edges. picture: (H, W, 3). person: (h, w)."""
    side = float(np.sqrt(picture.shape[0] * picture.shape[1]))
    lightness = np.ascontiguousarray(picture.mean(axis=2))
    known = resize(person.astype(np.float32), lightness.shape)
    energies = []
    for sigma in (0.0014 * side, 0.0056 * side):
        right, down = gradients(blur(lightness, sigma))
        energies.append(np.asarray(right**2 + down**2, np.float32))
    ratio = float((energies[0] * known).sum() / ((energies[1] * known).sum() + 1e-6))
    fine, coarse = (np.maximum(blur(energy, 0.02 * side), 0) for energy in energies)
    edges = np.clip((np.sqrt(coarse) - 0.006) / 0.008, 0, 1)
    octaves = np.log2((ratio * coarse + 1e-6) / (fine + 5e-7 * ratio + 1e-9))
    return resize(np.asarray(edges * octaves, np.float32), (person.shape[0], person.shape[1]))


def _color_score(lab: Floats, areas: Areas) -> Floats:
    """Compare color and texture of each doubtful pixel with sure pixels, preferably near ones.

    Returns (h, w), from -1.5 (background) to 1.5 (person)."""
    from scipy.spatial import cKDTree

    side = float(np.sqrt(areas.person.size))
    lightness = np.ascontiguousarray(lab[..., 0])
    variance = blur(lightness * lightness, 0.008 * side) - blur(lightness, 0.008 * side) ** 2
    texture = np.sqrt(np.maximum(variance, 0))
    rows, columns = np.mgrid[0 : lab.shape[0], 0 : lab.shape[1]].astype(np.float32) / side
    distances = []
    score = np.zeros(areas.person.shape, np.float32)
    for sure, place in ((areas.person, PERSON_PLACE_WEIGHT), (areas.behind, BEHIND_PLACE_WEIGHT)):
        features = np.dstack([lab, texture, rows * place, columns * place])
        samples = features[sure]
        if len(samples) < 50:
            return score
        tree = cKDTree(samples[:: max(1, len(samples) // MAX_SAMPLES)])
        distance, _ = tree.query(features[areas.doubtful], k=3, eps=0.3)
        distances.append(distance.mean(axis=1))
    to_person, to_behind = distances
    contrast = (to_behind - to_person) / (0.35 * (to_behind + to_person) + 0.06)
    score[areas.doubtful] = np.clip(contrast, -1.5, 1.5)
    return score


def _spread(lab: Floats, doubtful: Mask, known: Floats, score: Floats) -> Floats:
    """Spread the evidence between doubtful pixels of similar color, starting from their known surroundings.

    Returns the probability of the person, (h, w). Source: Grady: Random Walks for Image Segmentation (2006).

    Args:
        lab: (h, w, 3) colors.
        doubtful: (h, w) pixels to decide.
        known: (h, w) probability of all other pixels.
        score: (h, w) evidence, negative for background.
    """
    import scipy.sparse as sparse
    import scipy.sparse.linalg as linalg

    padded = np.pad(doubtful, 1)
    number = np.full(padded.size, -1, np.int64)
    pixels = np.flatnonzero(padded)
    number[pixels] = np.arange(len(pixels))
    colors = np.pad(lab, ((1, 1), (1, 1), (0, 0)), mode="edge").reshape(-1, 3)
    fixed = np.pad(known, 1, mode="edge").ravel().astype(np.float64)
    weight = EVIDENCE * np.abs(score[doubtful]).astype(np.float64) + 1e-6
    diagonal, right_side = weight.copy(), weight * (score[doubtful] > 0)
    entries = []
    for step in (1, -1, padded.shape[1], -padded.shape[1]):
        neighbor = pixels + step
        difference = ((colors[pixels] - colors[neighbor]) ** 2).sum(axis=1).astype(np.float64)
        similarity = np.exp(-difference / (2 * NEIGHBOR_CONTRAST**2)) + 0.005
        diagonal += similarity
        inner = number[neighbor] >= 0
        right_side += np.where(inner, 0, similarity * fixed[neighbor])
        entries.append((-similarity[inner], number[pixels[inner]], number[neighbor[inner]]))
    values, rows, columns = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    matrix = sparse.csc_matrix((values, (rows, columns)), shape=(len(pixels), len(pixels))) + sparse.diags(diagonal)
    factors = linalg.splu(
        matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    decided = known.copy()
    decided[doubtful] = np.clip((factors.solve(right_side) - 0.5) * 2.5 + 0.5, 0, 1)
    return decided


def _connected(decided: Floats, areas: Areas, mesh: Mesh) -> Floats:
    """Return a mask of the doubtful pixels that a wide bridge connects to the person, (h, w).

    Excludes a bystander's hand, and narrow strokes such as letters."""
    side = float(np.sqrt(decided.size))
    likely = decided > 0.5
    wide = erode(likely.astype(np.float32), NARROWEST_BRIDGE / 2 * side) > 0
    nose = mesh[landmarks.NOSE_TIP]
    solid = (areas.person | wide | (likely & ~areas.doubtful)).astype(np.float32)
    return dilate(connected_component_at(solid, float(nose[0]), float(nose[1])), 0.7 * NARROWEST_BRIDGE * side)


def _without_scraps(probability: Floats, lab: Floats, blurred: Floats, mesh: Mesh) -> Floats:
    """Remove narrow parts that stick out below the chin, such as a stroke of a letter behind the shoulder, (H, W).

    All views can agree on them. Keeps parts at the frame's edge, and sharp parts with the color of the face, which are
    the person's fingers. lab and blurred: (h, w), mesh: in pixels of those."""
    shape = blurred.shape[0], blurred.shape[1]
    side = float(np.sqrt(blurred.size))
    person = (resize(probability, shape) > 0.5).astype(np.float32)
    body = dilate(erode(person, NARROWEST_PART / 2 * side), NARROWEST_PART / 2 * side + 1)
    _, down = from_face(mesh, shape)
    narrow = ((person > body) & (down > 0.5)).astype(np.uint8)
    face = fill_convex_hull(landmarks.select_points(mesh, landmarks.OVAL), shape) > 0.5
    skin = np.median(lab[face], axis=0)
    removed = np.zeros(shape, np.float32)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(narrow)
    for label, (left, top, width, height, size) in enumerate(boxes[1:count], start=1):
        at_edge = left == 0 or top == 0 or left + width == shape[1] or top + height == shape[0]
        if at_edge or size < MIN_SCRAP * blurred.size:
            continue
        part = labels == label
        is_skin = bool(np.hypot(*(np.median(lab[part], axis=0) - skin)[1:]) < SKIN_DISTANCE)
        if not is_skin or blurred[part].max() > BLURRED:
            removed[part] = 1
    kept = 1 - np.clip(resize(dilate(removed, 1.5), (probability.shape[0], probability.shape[1])), 0, 1)
    return np.asarray(probability * kept, np.float32) if removed.any() else probability
