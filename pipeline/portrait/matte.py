"""Matting: refine the person's mask along the hair, and estimate the person's colors without the background."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.imaging.filters import (
    Floats,
    Shape,
    blur,
    box_filter,
    connected_component_at,
    dilate,
    distance_transform,
    erode,
    fill_convex_hull,
    gradients,
    guided_filter,
    resize,
)
from pipeline.portrait.doubt import from_face, near_ears
from pipeline.types import Mesh

# Maximum number of pixels at which the matte is solved. Guided upsampling restores the finer edges of hair.
WORK_PIXELS = 500 * 500

REGULARIZATION = 1e-6
UNKNOWN = 0.5

# Color evidence: comparison of unknown pixels with sure pixels nearby.
# NEIGHBORHOOD is the search radius, as a fraction of the frame's side.
# PERSON_PLACE_WEIGHT and BEHIND_PLACE_WEIGHT are the color distance that counts as much as the distance of a whole side
# (black to white is 1.7). The weight is higher for the person, so that a red tie does not make a red background next to
# the cheek look like the person.
# EVIDENCE is the highest weight of this term in the solver.
NEIGHBORHOOD = 0.12
PERSON_PLACE_WEIGHT, BEHIND_PLACE_WEIGHT = 0.7, 0.15
MAX_SAMPLES = 6_000
EVIDENCE = 0.02
# OWN is the color distance up to which a color is surely the person's, wherever the network is sure.
OWN = 0.04

# Spill is the background's color on the person's edge. SPILL is the share that is removed, to SPILL_DEPTH inside the
# edge. It is estimated within SPILL_REACH. Both are fractions of the frame's side.
SPILL, SPILL_DEPTH, SPILL_REACH = 0.8, 0.012, 0.025


def work_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the reduced frame in which the matte is solved."""
    factor = min(1.0, (WORK_PIXELS / (shape[0] * shape[1])) ** 0.5)
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def extract_matte(picture: Floats, probability: Floats, inside: Floats, mesh: Mesh) -> Floats:
    """Compute the alpha matte of the person, (H, W), 0..1.

    Args:
        picture: (H, W, 3) display values.
        probability: mask of the person, at `work_shape`.
        inside: (H, W), 1 where the frame shows the photo.
        mesh: face mesh in pixels of the frame.
    """
    shape = probability.shape[0], probability.shape[1]
    side = float(np.sqrt(probability.size))
    small = resize(picture, shape)
    seen = resize(inside, shape) > 0.99
    work_mesh = mesh * (shape[0] / picture.shape[0])
    head = _above_chin(work_mesh, shape, side)
    probability = head * probability + (1 - head) * np.clip((probability - 0.22) / 0.40, 0, 1)

    busy = _busyness(small, probability, seen, side)
    trimap = _trimap(probability, seen, work_mesh, busy, side)
    prior = np.clip((probability - 0.12) / 0.76, 0, 1)
    trust = _trust(prior, probability, busy, side)
    by_color, evidence, foreign = _color_evidence(small, trimap, seen, side)
    prior = (trust * prior + evidence * by_color) / (trust + evidence)
    alpha = closed_form(small, trimap, prior, trust + evidence)
    voted = _color_vote(small, alpha, probability, trimap == UNKNOWN, foreign, head, side)
    # The shadow inside an ear can have the color of a wall, which would leave a notch.
    ears = near_ears(work_mesh, shape) * np.clip((probability - 0.75) / 0.15, 0, 1)
    alpha = voted + ears * np.clip(alpha - voted, 0, 1)
    nose = work_mesh[landmarks.NOSE_TIP]
    # Remove separate specks. Strands of hair are connected to the head and are kept.
    whole = connected_component_at((alpha > 0.15).astype(np.float32), float(nose[0]), float(nose[1]))
    alpha = alpha * dilate(whole, 2)

    alpha = np.clip(resize(alpha, (picture.shape[0], picture.shape[1])), 0, 1)
    radius = max(2, round(0.003 * float(np.sqrt(inside.size))))
    alpha = np.clip(guided_filter(picture, alpha, radius, 1e-5), 0, 1)
    near = resize(blur(dilate(probability, 0.025 * side), 0.008 * side), (picture.shape[0], picture.shape[1]))
    alpha = alpha * np.clip(near * 1.6, 0, 1)
    alpha = np.clip((alpha - 0.04) / 0.91, 0, 1)
    return np.asarray(0.65 * alpha + 0.35 * alpha * alpha * (3 - 2 * alpha), np.float32)


def _above_chin(mesh: Mesh, shape: tuple[int, int], side: float) -> Floats:
    """Return (H, 1): 1 at the height of the head, and 0 below the chin.

    Hair needs a wide band of unknown pixels. Clothes need a narrow one."""
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    return np.asarray(np.clip((mesh[landmarks.CHIN, 1] + 0.03 * side - rows) / (0.04 * side), 0, 1), np.float32)


def _busyness(small: Floats, probability: Floats, seen: NDArray[np.bool_], side: float) -> float:
    """Return how busy the background around the person is: 0 for a plain wall, 1 for a pattern.

    In front of a busy background, colors are less reliable. The network then gets a higher weight."""
    energy = np.zeros(probability.shape, np.float32)
    for channel in range(3):
        right, down = gradients(np.ascontiguousarray(small[..., channel]))
        energy += right**2 + down**2
    around = (probability < 0.10) & (dilate((probability > 0.5).astype(np.float32), 0.08 * side) > 0) & seen
    if int(around.sum()) < 200:
        return 0.0
    steepness = 8 * float(np.percentile(np.sqrt(energy[around]), 80))
    return float(np.clip((steepness - 0.10) / 0.35, 0, 1))


def _trimap(probability: Floats, seen: NDArray[np.bool_], mesh: Mesh, busy: float, side: float) -> Floats:
    """Return the trimap: 0 for sure background, 1 for sure person, 0.5 for unknown."""
    sure = (probability > 0.88).astype(np.float32)
    none = (probability < 0.10).astype(np.float32)
    shape = probability.shape[0], probability.shape[1]
    head = (np.arange(shape[0])[:, None] < mesh[landmarks.CHIN, 1] + 0.02 * side) | _beside_neck(mesh, shape)
    inner = np.where(head, erode(sure, (0.023 - 0.005 * busy) * side), erode(sure, 0.006 * side))
    outer = np.where(head, erode(none, (0.021 - 0.005 * busy) * side), erode(none, 0.007 * side))
    trimap = np.full(probability.shape, UNKNOWN, np.float32)
    trimap[outer > 0] = 0
    trimap[inner > 0] = 1
    face = fill_convex_hull(landmarks.select_points(mesh, landmarks.OVAL), shape)
    trimap[erode(face, 0.016 * side) > 0] = 1
    trimap[~seen] = 0
    return trimap


def _beside_neck(mesh: Mesh, shape: Shape) -> NDArray[np.bool_]:
    """Return True on both sides of the neck, above the shoulders, where long hair is (H, W)."""
    across, down = from_face(mesh, shape)
    return (np.abs(across) > 0.3) & (np.abs(across) < 0.75) & (down < 0.55 + 0.42 * np.abs(across))


def _trust(prior: Floats, probability: Floats, busy: float, side: float) -> Floats:
    """Return the weight of the network in the solver.

    The weight is high where the network is sure, far from the outline, and in front of a busy background."""
    sureness = np.abs(2 * prior - 1) ** 2
    outside = distance_transform((probability < 0.5).astype(np.float32)) / side
    inside = distance_transform((probability >= 0.5).astype(np.float32)) / side
    depth = np.clip(outside / 0.02, 0.15, 2) ** 2 + 0.5 * np.clip(inside / 0.02 - 0.25, 0, 1) ** 2
    return np.asarray(2e-4 + (4e-3 + 4e-2 * busy) * sureness * depth, np.float32)


def _color_evidence(
    small: Floats, trimap: Floats, seen: NDArray[np.bool_], side: float
) -> tuple[Floats, Floats, Floats]:
    """Estimate from its color whether each unknown pixel belongs to the person.

    Returns the estimate, 0..1, its weight, and the distance in color from the person. Each pixel is compared with the
    most similar nearby pixels that are surely person or surely background. Therefore the method works for a two-color
    flag or the letters of a poster, whose mean color describes neither."""
    from scipy.spatial import cKDTree

    full = trimap.shape[0], trimap.shape[1]
    shape = full[0] // 2, full[1] // 2
    coarse, calm = resize(trimap, shape), resize(small, shape)
    unknown = (coarse > 0.02) & (coarse < 0.98)
    near = dilate(unknown.astype(np.float32), NEIGHBORHOOD * side / 2) > 0
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    photographed = resize(seen.astype(np.float32), shape) > 0.9
    kinds = (
        (near & (coarse >= 0.98), PERSON_PLACE_WEIGHT),
        (near & (coarse <= 0.02) & photographed, BEHIND_PLACE_WEIGHT),
    )
    distances = []
    for sure, place_weight in kinds:
        place = place_weight / (side / 2)
        features = np.dstack([calm, rows * place, columns * place])
        samples = features[sure]
        if len(samples) < 50 or not unknown.any():
            return np.full(full, 0.5, np.float32), np.zeros(full, np.float32), np.ones(full, np.float32)
        tree = cKDTree(samples[:: max(1, len(samples) // MAX_SAMPLES)])
        # An error of a fifth is acceptable. It makes the search many times faster for the equal pixels of a wall.
        distance, _ = tree.query(features[unknown], k=3, eps=0.2, workers=2)
        distances.append(np.asarray(distance.mean(axis=1), np.float32))
    to_person, to_behind = distances
    larger = np.maximum(to_person, to_behind)
    contrast = np.abs(to_person - to_behind) / (larger + 1e-4)
    share, weight, foreign = np.full(shape, 0.5, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    share[unknown] = to_behind > to_person
    weight[unknown] = EVIDENCE * np.clip((contrast - 0.55) / 0.35, 0, 1) * np.clip((larger - 0.06) / 0.08, 0, 1)
    foreign[unknown] = to_person
    return np.clip(resize(share, full), 0, 1), np.clip(resize(weight, full), 0, EVIDENCE), resize(foreign, full)


def closed_form(picture: Floats, trimap: Floats, prior: Floats, trust: Floats) -> Floats:
    """Solve for an alpha matte that is locally linear in color.

    Uses only windows with unknown pixels, and a direct solver.
    Source: Levin, Lischinski, Weiss: A Closed-Form Solution to Natural Image Matting (2008).

    Args:
        picture: (H, W, 3).
        trimap: (H, W): 0, 1, or 0.5 for unknown pixels.
        prior: (H, W), expected alpha.
        trust: (H, W), weight of the prior.
    """
    import scipy.sparse as sparse
    import scipy.sparse.linalg as linalg

    unknown = trimap == UNKNOWN
    count = int(unknown.sum())
    if count == 0:
        return trimap.copy()
    affinity, windows = _window_affinities(picture, unknown)
    number = np.full(trimap.size, -1, np.int64)
    number[unknown.ravel()] = np.arange(count)
    rows = number[np.repeat(windows, 9, axis=1).ravel()]
    columns = np.tile(windows, (1, 9)).ravel()
    relevant = rows >= 0
    rows, columns, values = rows[relevant], columns[relevant], affinity.ravel()[relevant]

    known = number[columns] < 0
    known_alpha = trimap.ravel()[columns[known]]
    right_side = -np.bincount(rows[known], weights=values[known] * known_alpha, minlength=count)
    weight = trust[unknown].astype(np.float64) + 1e-7
    matrix = sparse.csc_matrix((values[~known], (rows[~known], number[columns[~known]])), shape=(count, count))
    matrix = (matrix + sparse.diags(weight)).tocsc()
    # The system is symmetric positive definite. Symmetric mode takes half the time of the default mode.
    factors = linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    alpha = trimap.copy()
    alpha[unknown] = np.clip(factors.solve(right_side + weight * prior[unknown]), 0, 1)
    return alpha


def _window_affinities(picture: Floats, unknown: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the entries of the matting Laplacian for each 3 x 3 window, and the pixels of the windows.

    The entries are (N, 9, 9). The pixels are flat indices (N, 9). Includes only windows that touch unknown pixels."""
    width = unknown.shape[1]
    touched = np.asarray(cv2.dilate(unknown.astype(np.uint8), np.ones((3, 3), np.uint8))) > 0
    touched[[0, -1]] = False
    touched[:, [0, -1]] = False
    ys, xs = np.nonzero(touched)
    offsets = [dy * width + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    windows = (ys * width + xs)[:, None] + np.array(offsets)[None]
    colors = picture.reshape(-1, 3)[windows].astype(np.float64)
    spread = colors - colors.mean(axis=1, keepdims=True)
    covariance = spread.transpose(0, 2, 1) @ spread / 9 + np.eye(3) * (REGULARIZATION / 9)
    affinity = np.eye(9) - (1 + spread @ np.linalg.inv(covariance) @ spread.transpose(0, 2, 1)) / 9
    return affinity, windows


def _color_vote(
    small: Floats,
    alpha: Floats,
    probability: Floats,
    unknown: NDArray[np.bool_],
    foreign: Floats,
    head: Floats,
    side: float,
) -> Floats:
    """Lower alpha where a pixel looks like the surrounding background, such as a wall between curls.

    Applies only where sure pixels of person and background are near and differ in color. Where their colors do not
    differ, pushes unknown pixels toward 0 or 1. foreign: (H, W), distance in color from sure pixels of the person."""
    sure_person = ((alpha > 0.97) & (erode((probability > 0.9).astype(np.float32), 0.015 * side) > 0)).astype(
        np.float32
    )
    sure_behind = ((alpha < 0.02) & (probability < 0.25)).astype(np.float32)
    radius = 0.035 * side
    near_person, near_behind = box_filter(sure_person, radius), box_filter(sure_behind, radius)
    person = box_filter(small * sure_person[..., None], radius) / (near_person + 1e-4)[..., None]
    behind = box_filter(small * sure_behind[..., None], radius) / (near_behind + 1e-4)[..., None]
    apart = person - behind
    distance = np.sqrt((apart**2).sum(axis=2))
    from_behind = small - behind
    spread = np.sqrt(
        np.maximum(box_filter((from_behind**2).sum(axis=2) * sure_behind, radius) / (near_behind + 1e-4), 0)
    )
    enough = np.clip(np.minimum(near_person, near_behind) * 25, 0, 1)
    # If the colors of person and background are similar, such as dark hair in front of a dark poster, the solver leaves
    # a half-transparent veil. A hard edge that is slightly too far inside looks better.
    veiled = enough * np.clip(1 - (distance - 1.2 * spread - 0.02) / 0.2, 0, 1) * unknown
    decided = np.clip((alpha - 0.38) / 0.47, 0, 1)
    alpha = alpha + veiled * (decided * decided * (3 - 2 * decided) - alpha)
    vote_weight = enough * np.clip((distance - 1.2 * spread - 0.10) / 0.25, 0, 1) * unknown
    # The shadows of dark hair in front of a dark wall look like the wall, but also like other hair.
    vote_weight *= 1 - np.clip((probability - 0.6) / 0.3, 0, 1) * np.clip(2 - foreign / OWN, 0, 1)
    vote = np.clip(((from_behind * apart).sum(axis=2) / (distance**2 + 0.004) - 0.05) / 0.50, 0, 1)
    vote = vote * vote * (3 - 2 * vote)
    return np.asarray(alpha * (1 - vote_weight * np.clip(head, 0.35, 1) * (1 - vote)), np.float32)


def own_colors(picture: Floats, alpha: Floats) -> Floats:
    """Estimate the person's colors without the background that shines through, (H, W, 3).

    Uses blur fusion in three passes (Forte: Approximate Fast Foreground Color Estimation, 2021). Afterward, pixels with
    low alpha move toward the color of the nearest opaque hair or clothes."""
    side = float(np.sqrt(alpha.size))
    opaque = alpha[..., None]
    person, behind = picture, picture
    for radius in (0.06 * side, 0.012 * side, 0.004 * side):
        weight = box_filter(alpha, radius)[..., None]
        near_person = box_filter(person * opaque, radius) / (weight + 1e-5)
        near_behind = box_filter(behind * (1 - opaque), radius) / (1 - weight + 1e-5)
        rest = picture - opaque * near_person - (1 - opaque) * near_behind
        person = np.clip(near_person + opaque * rest, 0, 1)
        behind = near_behind
    solid = np.clip((alpha - 0.9) * 10, 0, 1)
    reach = blur(solid, 0.006 * side)
    inner = blur(picture * solid[..., None], 0.006 * side) / (reach[..., None] + 1e-4)
    pull = (0.65 * (1 - alpha) * np.clip(reach * 8, 0, 1))[..., None]
    return _without_spill(np.asarray(person + (inner - person) * pull, np.float32), picture, alpha)


def _without_spill(person: Floats, picture: Floats, alpha: Floats) -> Floats:
    """Remove the color that the background casts on the person's edge, (H, W, 3). Keeps the lightness.

    Only the part toward the background's color that is stronger than farther inside is removed. Gray hair stays gray.
    """
    height, width = alpha.shape
    shape = height // 4, width // 4
    opaque, calm = resize(alpha, shape), _chroma(resize(picture, shape))
    side = float(np.sqrt(opaque.size))
    deep, open_ = (erode((part > 0.98).astype(np.float32), SPILL_DEPTH * side) for part in (opaque, 1 - opaque))
    near_deep, near_open = (blur(part, SPILL_REACH * side) for part in (deep, open_))
    inner = blur(calm * deep[..., None], SPILL_REACH * side) / (near_deep[..., None] + 1e-4)
    behind = blur(calm * open_[..., None], SPILL_REACH * side) / (near_open[..., None] + 1e-4)
    strength = np.sqrt((behind**2).sum(axis=2))
    direction = behind / (strength[..., None] + 1e-4)
    own = np.clip((inner * direction).sum(axis=2), 0, None)
    known = np.clip(np.minimum(near_deep, near_open) * 50, 0, 1)
    weight = SPILL * (1 - blur(deep, SPILL_DEPTH * side)) * known * np.clip(strength / 0.1 - 0.5, 0, 1)
    direction, own, weight = (
        resize(np.asarray(plane, np.float32), (height, width)) for plane in (direction, own, weight)
    )
    excess = np.clip((_chroma(person) * direction).sum(axis=2) - own, 0, None)
    return np.asarray(np.clip(person - (weight * excess)[..., None] * direction, 0, 1), np.float32)


def _chroma(picture: Floats) -> Floats:
    """Return the difference of each color from the gray of the same lightness, (H, W, 3)."""
    return np.asarray(picture - (picture @ np.array([0.299, 0.587, 0.114], np.float32))[..., None], np.float32)
