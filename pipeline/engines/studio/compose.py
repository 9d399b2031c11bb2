"""Compose a headshot: place the person in front of the backdrop, and light the person to match it.

Lighting, backdrops and color grading are smooth, so they are computed on a small picture. Only the person and the
person's edges contain fine detail. They are composited at full size, in strips of rows.
"""

import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.engines.studio.sets import OWN_BACKGROUND, Set, find_set, fit_scene, paint_set
from pipeline.faces import landmarks
from pipeline.imaging.filters import (
    Floats,
    blur,
    color,
    enlarge_rows,
    fill_convex_hull,
    from_lab,
    resize,
    stack,
    to_display,
    to_lab,
    warp,
)
from pipeline.imaging.filters import to_linear as linear
from pipeline.imaging.skin import clamp_known_lightness
from pipeline.portrait.framing import arrange_lamps, light_set, place_person
from pipeline.portrait.prepare import Portrait
from pipeline.portrait.upscaled import strips
from pipeline.types import Framing, Pixels, Shot, StyleSpec

GRAIN = 0.0045
MONOCHROME_GRAIN = 0.009
GRAIN_ROWS = 1920
OWN_SET = Set(lambda surface: surface.fill(color(128, 128, 128)), steadiness=0.6)
STEPS = 4096
# Linear light of each 8-bit display value.
LINEAR_LEVELS = linear(np.asarray(np.arange(256) / np.float32(255), np.float32)).ravel()


@dataclass(frozen=True, eq=False)
class Lighting:
    """The effect of the lights and the backdrop on the person, in linear light.

    All arrays except `rim_light` have the size of the small picture.

    Attributes:
        gain: (h, w, 3) factor on the person's pixels.
        rim: (h, w) strength of the rim light.
        wrap: (h, w) fraction of the glow that spills over the person's edge.
        glow: (h, w, 3) blurred backdrop.
        behind: (h, w, 3) backdrop with the person's shadow.
        rim_light: (3,) color of the rim light.
    """

    gain: Floats
    rim: Floats
    wrap: Floats
    glow: Floats
    behind: Floats
    rim_light: Floats

    def rows(self, factor: int, top: int, bottom: int) -> "Lighting":
        """Return rows `top` to `bottom` of the lighting, enlarged by `factor` to the full picture."""
        if factor == 1 and bottom - top == len(self.rim):
            return self
        gain, rim, wrap, glow, behind = (
            enlarge_rows(plane, factor, top, bottom)
            for plane in (self.gain, self.rim, self.wrap, self.glow, self.behind)
        )
        return Lighting(gain, rim, wrap, glow, behind, self.rim_light)

    def columns(self, left: int, right: int) -> "Lighting":
        """Return columns `left` to `right` of the lighting, as views."""
        gain, rim, wrap, glow, behind = (
            plane[:, left:right] for plane in (self.gain, self.rim, self.wrap, self.glow, self.behind)
        )
        return Lighting(gain, rim, wrap, glow, behind, self.rim_light)


@dataclass(frozen=True, eq=False)
class Grading:
    """The color grading of a style.

    Attributes:
        tones: (STEPS,) output lightness for each input lightness 0..100.
        saturation: factor on the colors, 0 for monochrome.
        vignette: how much the corners are darkened.
        grain: standard deviation of the film grain.
    """

    tones: Floats
    saturation: float
    vignette: float
    grain: float


def compose(portrait: Portrait, shot: Shot, threads: int = 2) -> Pixels:
    """Compose the headshot, (H, W, 3) uint8.

    The same portrait and shot always give the same pixels."""
    portrait, style = _apply_framing(portrait, shot.framing), arrange_lamps(shot.style, shot.light)
    # Seed with a checksum of the name, because Python's hash() differs between processes.
    rng = np.random.default_rng([shot.seed, zlib.crc32(style.set.encode())])
    shape = portrait.alpha.shape[0], portrait.alpha.shape[1]
    key = _key_direction(portrait, style)
    if style.set == OWN_BACKGROUND:
        scenery, behind = OWN_SET, fit_scene(portrait.background, shape)
    else:
        scenery = find_set(style.set)
        behind = paint_set(style.set, shape, rng, float(key[0]))
    behind = behind * np.float32(light_set(shot.light, scenery.steadiness))
    lighting = _light(portrait, style, key, scenery, behind)
    small = to_display(_composite(linear(portrait.person), portrait.alpha, lighting))
    grading = _grade(small, portrait, style)

    upscaled, factor = portrait.upscaled, 1 if portrait.upscaled is None else portrait.upscaled.factor
    height, width = shape[0] * factor, shape[1] * factor
    grain = _grain(height, width, rng)
    result = np.empty((height, width, 3), np.uint8)
    if upscaled is None:
        result[:] = _apply_grading(small, grading, grain, 0, height)
        return result

    def paint_strip(rows: tuple[int, int]) -> None:
        top, bottom = rows
        lights = lighting.rows(factor, top, bottom)
        picture, opaque = lights.behind, upscaled.alpha[top:bottom]
        seen = np.flatnonzero(opaque.any(axis=0))
        if len(seen):
            # Only the backdrop is visible to the left and to the right of the person.
            left, right = int(seen[0]), int(seen[-1]) + 1
            person = LINEAR_LEVELS.take(upscaled.person[top:bottom, left:right])
            alpha = np.asarray(opaque[:, left:right] / np.float32(255), np.float32)
            picture[:, left:right] = _composite(person, alpha, lights.columns(left, right))
        result[top:bottom] = _apply_grading(to_display(picture), grading, grain[top:bottom], top, height)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(paint_strip, strips(height)))
    return result


def _apply_framing(portrait: Portrait, framing: Framing) -> Portrait:
    """Move and scale the portrait as the framing requires."""
    height, width = portrait.alpha.shape
    eyes = float(np.mean(landmarks.eye_centers(portrait.mesh), axis=0)[1]) / height
    face = landmarks.face_height(portrait.mesh) / height
    matrix = place_person(framing, (height, width), face, eyes, _crown(portrait.alpha))
    if matrix is None:
        return portrait
    quarter, upscaled = matrix.copy(), portrait.upscaled
    quarter[:, 2] *= portrait.shape.shape[0] / height
    if upscaled is not None:
        large = matrix.copy()
        large[:, 2] *= upscaled.factor
        shape = upscaled.alpha.shape[0], upscaled.alpha.shape[1]
        upscaled = replace(
            upscaled, person=warp(upscaled.person, large, shape), alpha=warp(upscaled.alpha, large, shape)
        )
    mesh = portrait.mesh * matrix[0, 0]
    mesh[:, :2] += matrix[:, 2]
    skin = warp(portrait.skin.astype(np.float32), matrix, (height, width)) > 0.5
    return replace(
        portrait,
        person=np.clip(warp(portrait.person, matrix, (height, width)), 0, 1),
        alpha=np.clip(warp(portrait.alpha, matrix, (height, width)), 0, 1),
        shape=warp(portrait.shape, quarter, (portrait.shape.shape[0], portrait.shape.shape[1])),
        mesh=np.asarray(mesh, np.float32),
        skin=skin,
        upscaled=upscaled,
    )


def _crown(alpha: Floats) -> float:
    """Return the topmost row of the person, as a share of the height."""
    return float(np.argmax((alpha > 0.5).any(axis=1))) / len(alpha)


def _key_direction(portrait: Portrait, style: StyleSpec) -> Floats:
    """Return the unit vector (3,) toward the key light: to the right, down, toward the viewer."""
    key = np.array(style.key_light, np.float32)
    # Place the key light on the side from which the photo is lit. Otherwise the face would appear lit from two sides.
    key[0] *= -1 if key[0] * portrait.light_side < -0.12 else 1
    return np.asarray(key / np.linalg.norm(key), np.float32)


def _light(portrait: Portrait, style: StyleSpec, key: Floats, scenery: Set, behind: Floats) -> Lighting:
    """Compute the lighting: key light, rim light, ambient color, and the backdrop's glow at the person's edges."""
    alpha = portrait.alpha
    shape = alpha.shape[0], alpha.shape[1]
    side = float(np.sqrt(alpha.size))
    face = _face(portrait, shape)

    shading = resize(np.asarray(portrait.shape @ key, np.float32), shape)
    level = float((shading * face).sum() / max(float(face.sum()), 1.0))
    gain = (1 + style.key * np.clip((shading - level) * 1.6, -1, 0.8))[..., None]

    ambient = behind.reshape(-1, 3).mean(axis=0) + 0.02
    ambient = ambient / (ambient @ np.array([0.2126, 0.7152, 0.0722], np.float32))
    # Tint the face less than the body to preserve the person's skin tone.
    tint = (style.tint * (1 - 0.6 * face))[..., None]
    gain = gain * (1 + tint * (np.clip(ambient, 0.5, 1.6) - 1))

    rim = np.clip(1 - blur(alpha, 0.012 * side), 0, 1)
    away = resize(np.ascontiguousarray(portrait.shape[..., 0]) * -np.sign(key[0]), shape)
    above = resize(np.ascontiguousarray(portrait.shape[..., 1]), shape)
    rows = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    rim *= np.clip(1.3 * away + 0.25 - 0.5 * above, 0, 1) * np.clip(1 - (rows - 0.75) / 0.2, 0, 1)

    wrap = style.wrap * np.clip(1 - blur(alpha, 0.007 * side), 0, 1)
    glow = np.clip(blur(behind, 0.02 * side), 0, 1)
    return Lighting(
        np.asarray(gain, np.float32),
        np.asarray(1.6 * style.rim * rim, np.float32),
        np.asarray(wrap, np.float32),
        glow,
        _with_shadow(behind, alpha, scenery.shadow),
        color(*scenery.rim_light),
    )


def _composite(person: Floats, alpha: Floats, lighting: Lighting) -> Floats:
    """Composite the lit person over the backdrop.

    person, result: (H, W, 3) linear light."""
    lit = person * lighting.gain
    red, green, blue = cv2.split(lit)
    # The rim light is visible only where the person reflects light.
    rim = lighting.rim * alpha * (0.15 + 1.2 * np.clip((red + green + blue) / 3, 0, 0.6))
    lit += cv2.merge([rim * level for level in lighting.rim_light])
    lit += (lighting.glow - lit) * _to_channels(lighting.wrap * alpha)
    lit -= lighting.behind
    lit *= _to_channels(alpha)
    lit += lighting.behind
    return np.asarray(lit, np.float32)


def _to_channels(plane: Floats) -> Floats:
    """Repeat the plane as (H, W, 3).

    NumPy multiplies arrays of the same shape several times as fast as it broadcasts a plane over three channels."""
    return np.asarray(cv2.merge([plane, plane, plane]), np.float32)


def _face(portrait: Portrait, shape: tuple[int, int]) -> Floats:
    """Return a soft mask of the face, (H, W), 0..1."""
    reduced = (shape[0] // 4, shape[1] // 4)
    mesh = np.asarray(portrait.mesh / 4, np.float32)
    face = fill_convex_hull(landmarks.select_points(mesh, landmarks.OVAL), reduced)
    return np.clip(resize(blur(face, 0.09 * landmarks.face_height(mesh)), shape), 0, 1)


def _with_shadow(behind: Floats, alpha: Floats, depth: float) -> Floats:
    """Darken the backdrop slightly around the person, more toward the lower right.

    Without this shadow the person would look cut out. depth: strength of the shadow, 0..1. 0 returns `behind`
    unchanged."""
    if depth <= 0:
        return behind
    height, width = alpha.shape
    shadow = blur(alpha, 0.045 * float(np.sqrt(alpha.size)))
    down, right = round(0.015 * height), round(0.012 * width)
    shadow = np.pad(shadow, ((down, 0), (right, 0)), mode="edge")[:height, :width]
    return np.asarray(behind * (1 - depth * shadow)[..., None], np.float32)


def _grade(picture: Floats, portrait: Portrait, style: StyleSpec) -> Grading:
    """Compute the color grading of this picture.

    The tone curve pivots on the median lightness of the skin. Afterward the skin's lightness is limited to the allowed
    range around that of the photo."""
    skin = to_lab(picture)[..., 0][portrait.skin]
    pivot = float(np.median(skin)) / 100
    tone = np.linspace(0, 1, STEPS, dtype=np.float32)
    reach = np.where(tone > pivot, 1 - pivot, pivot) + 1e-3
    offset = (tone - pivot) / reach
    tones = 100 * np.clip(tone + style.contrast * offset * (1 - np.abs(offset)) * reach, 0, 1)
    skin = _apply_tones(np.asarray(tones, np.float32), skin)
    lab = stack([np.asarray(plane, np.float32)[None] for plane in (tones, tones, tones)])
    held = clamp_known_lightness(lab, float(np.median(skin)), portrait.source)
    amount = MONOCHROME_GRAIN if style.monochrome else GRAIN
    # An enlarged photo lacks fine texture. More grain on both person and backdrop compensates for that.
    amount *= 1 + 0.35 * float(np.clip(portrait.scale - 1.5, 0, 2.5))
    saturation = 0.0 if style.monochrome else style.saturation
    return Grading(np.ascontiguousarray(held[0, :, 0]), saturation, style.vignette, amount)


def _apply_tones(tones: Floats, lightness: Floats) -> Floats:
    """Map lightness values, 0..100, through the tone curve."""
    index = (np.clip(lightness, 0, 100) * ((STEPS - 1) / 100) + 0.5).astype(np.int32)
    return tones.take(index)


def _grain(height: int, width: int, rng: np.random.Generator) -> Floats:
    """Return film-like noise with standard deviation 1, (H, W).

    The noise of a large picture is computed at half its size and enlarged, to save time."""
    factor = 2 if height > GRAIN_ROWS else 1
    grain = rng.standard_normal((height // factor, width // factor), dtype=np.float32)
    grain = resize(blur(grain, 0.6 * max(1.0, height / factor / 1120)), (height, width))
    return np.asarray(grain / grain.std(), np.float32)


def _apply_grading(picture: Floats, grading: Grading, grain: Floats, top: int, height: int) -> NDArray[np.uint8]:
    """Apply tone curve, saturation, vignette and grain to a strip of rows. Returns uint8.

    The grain also hides the banding of 8-bit values.

    Args:
        picture: strip of the picture, display values.
        grading: color grading to apply.
        grain: noise for the strip.
        top: index of the strip's first row in the whole picture.
        height: number of rows of the whole picture.
    """
    lightness, red, blue = (np.asarray(plane, np.float32) for plane in cv2.split(to_lab(picture)))
    planes = [_apply_tones(grading.tones, lightness), red * grading.saturation, blue * grading.saturation]
    graded = from_lab(np.asarray(cv2.merge(planes), np.float32))
    rows, width = picture.shape[:2]
    y = (np.arange(top, top + rows, dtype=np.float32)[:, None] + 0.5) / height - 0.47
    x = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    graded *= _to_channels(np.asarray(1 - grading.vignette * np.clip(2.0 * (x**2 + y**2) - 0.12, 0, 1), np.float32))
    # As on film, grain is strongest in the midtones.
    strength = 1.6 * graded
    strength *= 1 - graded
    strength += 0.6
    strength *= _to_channels(np.asarray(grain * grading.grain, np.float32))
    graded += strength
    np.clip(graded, 0, 1, out=graded)
    graded *= 255
    graded += 0.5
    return graded.astype(np.uint8)
