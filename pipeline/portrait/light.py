"""Retouch the face, and estimate the person's 3D shape for relighting."""

import numpy as np
from numpy.typing import NDArray

from pipeline.faces import landmarks
from pipeline.imaging.filters import (
    Floats,
    bilateral_filter,
    blur,
    dilate,
    distance_transform,
    fill_convex_hull,
    gradients,
    guided_filter,
    resize,
    stack,
)
from pipeline.imaging.skin import Skin, measure_skin, skin_likeness
from pipeline.types import Mesh

# Strengths as fractions of a full retouch. The person should look well rested, not retouched.
FILL = 0.22
SHADOW_FILL = 0.12
RETOUCH = 0.45
EYE_BITE = 0.3
EYE_LIGHT = 0.8

SHAPE_FACTOR = 4


def fill_face(lab: Floats, mesh: Mesh) -> Floats:
    """Soften hard light by reducing large brightness differences inside the face."""
    height, width = lab.shape[:2]
    unit = landmarks.face_height(mesh)
    small_shape = (height // 2, width // 2)
    lightness = resize(np.ascontiguousarray(lab[..., 0] / 100), small_shape)
    base = guided_filter(stack([lightness] * 3), lightness, max(2, round(0.055 * unit)), 4e-3)
    base = resize(base, (height, width))
    face = blur(fill_convex_hull(landmarks.select_points(mesh, landmarks.OVAL), (height, width)), 0.08 * unit)
    middle = float((base * face).sum() / max(float(face.sum()), 1.0))
    change = face * ((middle - base) * FILL + np.clip(middle - base, 0, 1) * SHADOW_FILL)
    # Keep the mean lightness of the face.
    change -= face * float((change * face).sum() / max(float((face * face).sum()), 1.0))
    filled = lab.copy()
    filled[..., 0] = np.clip(lab[..., 0] + 100 * change, 0, 100)
    return filled


def retouch(lab: Floats, area: NDArray[np.bool_], skin: Skin, mesh: Mesh, scale: float) -> Floats:
    """Even out blotches, preserve pores, clear the eyes a little, and sharpen.

    Uses frequency separation: smooths only the band between shading and texture, and only on skin. An enlarged photo is
    sharpened more."""
    height, width = lab.shape[:2]
    unit = landmarks.face_height(mesh)
    result = lab.copy()
    on_skin = skin_likeness(lab, area, skin, 0.02 * unit)
    lightness = np.ascontiguousarray(lab[..., 0])
    half = resize(lightness, (height // 2, width // 2))
    smooth = resize(bilateral_filter(half, 9, 0.0055 * unit), (height, width))
    texture = lightness - blur(lightness, 0.004 * unit)
    lightness = lightness + (smooth + 0.9 * texture - lightness) * on_skin * RETOUCH
    chroma = np.ascontiguousarray(lab[..., 1:])
    result[..., 1:] = chroma + (blur(chroma, 0.03 * unit) - chroma) * (0.4 * on_skin)[..., None]

    eyes = np.maximum(
        *(
            fill_convex_hull(landmarks.select_points(mesh, eye), (height, width))
            for eye in (landmarks.LEFT_EYE, landmarks.RIGHT_EYE)
        )
    )
    eyes = blur(dilate(eyes, 0.008 * unit), 0.01 * unit)
    lightness = lightness + eyes * (EYE_BITE * (lightness - blur(lightness, 0.0075 * unit)) + EYE_LIGHT)
    amount = 0.35 if scale < 1.2 else 0.6 if scale < 2.2 else 0.5
    fine = lightness - blur(lightness, float(np.clip(0.9 * scale, 1.0, 2.4)))
    result[..., 0] = np.clip(lightness + amount * fine * (1 - 0.5 * on_skin), 0, 100)
    return result


def shape_of(alpha: Floats) -> Floats:
    """Estimate surface normals, (h, w, 3) at a quarter of the frame's size, with z toward the viewer.

    The shape is the inflated silhouette. It is rough, but lets light fall off plausibly across head and shoulders."""
    height, width = (max(8, edge // SHAPE_FACTOR) for edge in alpha.shape)
    side = float(np.sqrt(height * width))
    solid = (resize(alpha, (height, width)) > 0.5).astype(np.float32)
    # Extend the silhouette beyond the left, right and bottom borders, because the person continues there.
    pad = round(0.25 * side)
    depth = distance_transform(np.pad(solid, ((0, pad), (pad, pad)), mode="edge"))[:height, pad : pad + width]
    radius = 0.16 * side
    bulge = radius * np.sqrt(np.clip(1 - (1 - np.clip(depth / radius, 0, 1)) ** 2, 0, 1))
    right, down = gradients(blur(bulge.astype(np.float32), 0.024 * side))
    normals = stack([-right, -down, np.ones_like(right)])
    return np.asarray(normals / np.linalg.norm(normals, axis=2, keepdims=True), np.float32)


def light_side(lab: Floats, area: NDArray[np.bool_], mesh: Mesh) -> float:
    """Return the side from which the photo is lit: -1 is the left of the picture, 1 the right.

    Compares the lightness of the two halves of the face."""
    columns = np.arange(lab.shape[1], dtype=np.float32)[None]
    left = area & (columns < mesh[landmarks.NOSE_TIP, 0])
    right = area & (columns >= mesh[landmarks.NOSE_TIP, 0])
    if not left.any() or not right.any():
        return 0.0
    difference = measure_skin(lab, right).lightness - measure_skin(lab, left).lightness
    return float(np.clip(difference / 12, -1, 1))
