"""The person before the set, under the set's light: one headshot."""

import zlib

import numpy as np

from pipeline.engines.studio import colours
from pipeline.engines.studio.filters import (
    Floats,
    blur,
    colour,
    fill_hull,
    from_lab,
    resize,
    to_display,
    to_lab,
)
from pipeline.engines.studio.filters import to_linear as linear
from pipeline.engines.studio.prepare import Portrait
from pipeline.engines.studio.sets import OWN_BACKGROUND, SETS, Set, hang, paint_set
from pipeline.faces import points
from pipeline.types import Pixels, Shot, Style

GRAIN = 0.0045
MONOCHROME_GRAIN = 0.009
OWN_SET = Set(lambda canvas: canvas.fill(colour(128, 128, 128)))


def compose(portrait: Portrait, shot: Shot) -> Pixels:
    """(H, W, 3) uint8: the headshot. The same portrait and shot give the same pixels."""
    style = shot.style
    shape = portrait.alpha.shape[0], portrait.alpha.shape[1]
    # Not hash(): it differs from process to process.
    chance = np.random.default_rng([shot.seed, zlib.crc32(style.set.encode())])
    if style.set == OWN_BACKGROUND:
        scenery, behind = OWN_SET, hang(portrait.background, shape)
    else:
        scenery, behind = SETS[style.set], paint_set(style.set, shape, chance)
    person = _under_lamps(portrait, style, scenery, behind)
    behind = _with_shadow(behind, portrait.alpha, scenery.shadow)
    opaque = portrait.alpha[..., None]
    picture = to_display(person * opaque + behind * (1 - opaque))
    return _develop(picture, portrait, style, chance)


def _under_lamps(portrait: Portrait, style: Style, scenery: Set, behind: Floats) -> Floats:
    """Linear light of the person: key and rim lamp, the set's ambient colour and its light around the edges."""
    alpha = portrait.alpha
    shape = alpha.shape[0], alpha.shape[1]
    side = float(np.sqrt(alpha.size))
    person = linear(portrait.person)
    face = _face(portrait, shape)

    key = np.array(style.key_light, np.float32)
    # The lamp stands where the photo's own light came from, else the face would be lit from two sides.
    key[0] *= -1 if key[0] * portrait.light_side < -0.12 else 1
    key /= np.linalg.norm(key)
    shading = resize(np.asarray(portrait.shape @ key, np.float32), shape)
    level = float((shading * face).sum() / max(float(face.sum()), 1.0))
    person *= (1 + style.key * np.clip((shading - level) * 1.6, -1, 0.8))[..., None]

    ambient = behind.reshape(-1, 3).mean(axis=0) + 0.02
    ambient = ambient / (ambient @ np.array([0.2126, 0.7152, 0.0722], np.float32))
    # Less on the face: its hue is the person's own.
    tint = (style.tint * (1 - 0.6 * face))[..., None]
    person *= 1 + tint * (np.clip(ambient, 0.5, 1.6) - 1)

    rim = np.clip(1 - blur(alpha, 0.012 * side), 0, 1) * alpha
    away = resize(np.ascontiguousarray(portrait.shape[..., 0]) * -np.sign(key[0]), shape)
    above = resize(np.ascontiguousarray(portrait.shape[..., 1]), shape)
    rows = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    rim *= np.clip(1.3 * away + 0.25 - 0.5 * above, 0, 1) * np.clip(1 - (rows - 0.75) / 0.2, 0, 1)
    rim *= 0.15 + 1.2 * np.clip(person.mean(axis=2), 0, 0.6)
    person += (1.6 * style.rim * rim)[..., None] * colour(*scenery.rim_light)

    wrap = (style.wrap * np.clip(1 - blur(alpha, 0.007 * side), 0, 1) * alpha)[..., None]
    return np.asarray(person + (np.clip(blur(behind, 0.02 * side), 0, 1) - person) * wrap, np.float32)


def _face(portrait: Portrait, shape: tuple[int, int]) -> Floats:
    """(H, W), 0..1, soft: the face."""
    reduced = (shape[0] // 4, shape[1] // 4)
    mesh = np.asarray(portrait.mesh / 4, np.float32)
    face = fill_hull(points.points(mesh, points.OVAL), reduced)
    return np.clip(resize(blur(face, 0.09 * points.face_height(mesh)), shape), 0, 1)


def _with_shadow(behind: Floats, alpha: Floats, depth: float) -> Floats:
    """The set a little darker around the person, more to the lower right: they stand in front of it, not in a hole."""
    if depth <= 0:
        return behind
    height, width = alpha.shape
    shadow = blur(alpha, 0.045 * float(np.sqrt(alpha.size)))
    down, right = round(0.015 * height), round(0.012 * width)
    shadow = np.pad(shadow, ((down, 0), (right, 0)), mode="edge")[:height, :width]
    return np.asarray(behind * (1 - depth * shadow)[..., None], np.float32)


def _develop(picture: Floats, portrait: Portrait, style: Style, chance: np.random.Generator) -> Pixels:
    """The look's tone curve, colour and vignette, then grain, which also hides the steps of 8 bits."""
    lab = to_lab(picture)
    if style.monochrome:
        lab[..., 1:] = 0
    # The curve turns about the skin, which so keeps its lightness.
    pivot = float(np.median(lab[..., 0][portrait.skin])) / 100
    tone = lab[..., 0] / 100
    reach = np.where(tone > pivot, 1 - pivot, pivot) + 1e-3
    offset = (tone - pivot) / reach
    tone = tone + style.contrast * offset * (1 - np.abs(offset)) * reach
    lab[..., 0] = np.clip(100 * tone, 0, 100)
    lab[..., 1:] *= style.saturation
    lab = colours.hold_in_band(lab, portrait.skin, portrait.source)
    developed = from_lab(lab)

    height, width = portrait.alpha.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    corner = ((x + 0.5) / width - 0.5) ** 2 + ((y + 0.5) / height - 0.47) ** 2
    developed *= (1 - style.vignette * np.clip(2.0 * corner - 0.12, 0, 1))[..., None]
    grain = chance.standard_normal((height, width), dtype=np.float32)
    grain = blur(grain, 0.6 * max(1.0, height / 1120))
    amount = MONOCHROME_GRAIN if style.monochrome else GRAIN
    # An enlarged photo has lost its fine texture; grain stands in for it, set and person alike.
    amount *= 1 + 0.35 * float(np.clip(portrait.scale - 1.5, 0, 2.5))
    # Film shows its grain in the middle tones.
    developed += (grain / grain.std() * amount)[..., None] * (0.6 + 1.6 * developed * (1 - developed))
    return (np.clip(developed, 0, 1) * 255 + 0.5).astype(np.uint8)
