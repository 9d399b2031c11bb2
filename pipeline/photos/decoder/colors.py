"""Convert images to sRGB from the color space that the file declares.

An ICC profile is recognized by its effect, never by its name.
"""

import io
import struct
from dataclasses import dataclass

from PIL import Image, ImageCms

# A profile that differs from sRGB by at most this many levels of 255 is not applied, because the difference is only
# rounding.
SAME_AS_SRGB = 2

# Primaries for each code of ITU-T H.273 with D65 white: x and y of red, green and blue.
SRGB_PRIMARIES = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
PRIMARIES = {
    1: SRGB_PRIMARIES,
    5: (0.640, 0.330, 0.290, 0.600, 0.150, 0.060),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
ADOBE_PRIMARIES = (0.640, 0.330, 0.210, 0.710, 0.150, 0.060)
ADOBE_GAMMA = 563 / 256
D65 = (0.3127, 0.3290)
D50_XYZ = (0.96420, 1.0, 0.82491)
# Codes of transfer functions in ITU-T H.273.
PQ, HLG = 16, 18
VIDEO_CURVES = {1, 6, 14, 15}
WIDE = {9, 12}
# Parameters g, a, b, c, d of the curves in ICC profiles: (a * x + b) ** g above d, and c * x below d.
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
VIDEO_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}


@dataclass(frozen=True)
class Colors:
    """The color space that a file declares without an ICC profile.

    Attributes:
        primaries: x and y of red, green and blue.
        white: x and y of the white point.
        gamma: exponent of the transfer function. None selects the sRGB curve, or the video curve if `video` is set.
        video: True for the video curve of ITU-R BT.709.
        hdr: PQ, HLG or 0.
    """

    primaries: tuple[float, ...] = SRGB_PRIMARIES
    white: tuple[float, ...] = D65
    gamma: float | None = None
    video: bool = False
    hdr: int = 0

    @property
    def are_srgb(self) -> bool:
        """Return True if the colors need no conversion."""
        return self == Colors()


def colors_of_codes(primaries: int, curve: int) -> Colors:
    """Return the color space for these codes of H.273.

    Unknown codes mean sRGB. The video curve is only used with wide primaries, because phones declare it for photos that
    use the sRGB curve."""
    return Colors(
        PRIMARIES.get(primaries, SRGB_PRIMARIES),
        gamma=GAMMAS.get(curve),
        video=curve in VIDEO_CURVES and primaries in WIDE,
        hdr=curve if curve in (PQ, HLG) else 0,
    )


def convert_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert the image from the color space of the profile to sRGB.

    Like browsers, ignores a profile that is damaged or made for another kind of image."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() == "RGB" and image.mode != "RGB":
            image = image.convert("RGB")
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        if image.mode == "RGB" and _is_srgb(source, target):
            return image
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB", inPlace=image.mode == "RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    return converted or image


def _is_srgb(source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile) -> bool:
    levels = (0, 16, 64, 128, 192, 255)
    colors = bytes(level for red in levels for green in levels for blue in levels for level in (red, green, blue))
    probe = Image.frombytes("RGB", (len(colors) // 3, 1), colors)
    converted = ImageCms.profileToProfile(probe, source, target, outputMode="RGB")
    assert converted is not None
    return max(abs(a - b) for a, b in zip(colors, converted.tobytes(), strict=True)) <= SAME_AS_SRGB


def build_profile(colors: Colors) -> bytes:
    """Return an ICC profile of this color space.

    Raises ValueError if the primaries are degenerate."""
    columns = _rgb_to_d50(colors.primaries, colors.white)
    if colors.gamma is None:
        parameters = VIDEO_CURVE if colors.video else SRGB_CURVE
        curve = struct.pack(">4s4xHxx5i", b"para", 3, *map(_fixed, parameters))
    else:
        curve = struct.pack(">4s4xHxxi", b"para", 0, _fixed(colors.gamma))
    xyz = [(b"wtpt", D50_XYZ), *zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)]
    tags = [(name, struct.pack(">4s4x3i", b"XYZ ", *map(_fixed, values))) for name, values in xyz]
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    position = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags:
        table += struct.pack(">4sII", name, position + len(body), len(content))
        body += content
    size = position + len(body)
    header = struct.pack(">I4xI4s4s4s", size, 0x04200000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H4s28x3i", 2000, 1, 1, 0, 0, 0, b"acsp", *map(_fixed, D50_XYZ))
    return header.ljust(128, b"\0") + table + body


def matrix_to_srgb(colors: Colors) -> "Matrix":
    """Return the 3 x 3 matrix from linear RGB of this color space to linear sRGB.

    Raises ValueError if the primaries are degenerate."""
    given = tuple(zip(*_rgb_to_d50(colors.primaries, colors.white), strict=True))
    back = _invert(tuple(zip(*_rgb_to_d50(SRGB_PRIMARIES, D65), strict=True)))
    return tuple(zip(*(_apply(back, column) for column in zip(*given, strict=True)), strict=True))


def _fixed(value: float) -> int:
    return round(value * 65536)


Matrix = tuple[tuple[float, ...], ...]


def _rgb_to_d50(primaries: tuple[float, ...], white: tuple[float, ...]) -> Matrix:
    """Return XYZ of red, green and blue, adapted to D50.

    Raises ValueError if the primaries are degenerate."""
    try:
        columns = [(x / y, 1.0, (1 - x - y) / y) for x, y in zip(primaries[::2], primaries[1::2], strict=True)]
        white_xyz = (white[0] / white[1], 1.0, (1 - white[0] - white[1]) / white[1])
        shares = _apply(_invert(tuple(zip(*columns, strict=True))), white_xyz)
        cones = _apply(BRADFORD, white_xyz)
        scales = [wanted / given for wanted, given in zip(_apply(BRADFORD, D50_XYZ), cones, strict=True)]
    except ZeroDivisionError as error:
        raise ValueError from error
    back = _invert(BRADFORD)
    adapted = []
    for column, share in zip(columns, shares, strict=True):
        lms = _apply(BRADFORD, tuple(value * share for value in column))
        adapted.append(_apply(back, tuple(value * scale for value, scale in zip(lms, scales, strict=True))))
    if any(abs(value) > 4 for column in adapted for value in column):
        raise ValueError
    return tuple(adapted)


BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def _apply(matrix: Matrix, vector: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)


def _invert(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    adjugate = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    determinant = a * adjugate[0][0] + b * adjugate[1][0] + c * adjugate[2][0]
    return tuple(tuple(value / determinant for value in row) for row in adjugate)
