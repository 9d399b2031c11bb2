"""Decode one untrusted photo (JPEG, PNG, WebP or HEIC) to sRGB, upright."""

import io
import os
import re
import struct
import warnings as python_warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

from PIL import Image, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

from pipeline.photos.decoder import damage
from pipeline.photos.decoder.colors import (
    ADOBE_GAMMA,
    ADOBE_PRIMARIES,
    HLG,
    Colors,
    build_profile,
    colors_of_codes,
    convert_profile,
    matrix_to_srgb,
)
from pipeline.photos.decoder.container import check_container, read_container
from pipeline.photos.decoder.hevc import load_library

# Compressing a photo again at this quality, with full color resolution, causes no visible loss.
JPEG_QUALITY = 97
# Longest edge that libjpeg supports.
MAX_EDGE_PX = 65500
# Maximum size of a decompressed profile or text in a PNG. Printer profiles and edit histories take a few MB.
MAX_PNG_TEXT_BYTES = 16 * 1024 * 1024

HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}

ORIENTATION_TAG, EXIF_TAG, INTEROP_TAG, COLOR_SPACE_TAG = 0x0112, 0x8769, 0xA005, 0xA001
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Exceptions that Pillow raises for a damaged EXIF block.
EXIF_ERRORS = (SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, OSError, struct.error)

# Matches the transfer function code of PQ or HLG, after the code of the primaries, in a HEIC's colr box or a PNG's cICP
# chunk.
HDR_CODES = re.compile(rb"colrnclx..\0[\x10\x12]|cICP.[\x10\x12]", re.DOTALL)

# Type of a function that returns the text that native libraries have written to stderr since the previous call.
Warnings = Callable[[], bytes]


class UnsupportedFormat(Exception):
    """Raised if the bytes are not in an accepted format."""


class TooLarge(Exception):
    """Raised if the photo has too many pixels."""


@dataclass(frozen=True)
class DecodedImage:
    """A picture as stored in the file, before color conversion and rotation.

    Attributes:
        image: decoded picture.
        colors: color space that the file declares.
        profile: ICC profile, or None.
        orientation: EXIF orientation to apply. Values other than 2 to 8 mean upright.
    """

    image: Image.Image
    colors: Colors
    profile: bytes | None = None
    orientation: int = 1


def detect_format(data: bytes) -> str:
    """Return Pillow's name of the format, detected by content.

    Raises UnsupportedFormat."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        box_bytes = min(int.from_bytes(data[:4], "big"), 256)
        brands = {data[8:12], *(data[start : start + 4] for start in range(16, box_bytes, 4))}
        if brands & HEIC_BRANDS and not brands & AVIF_BRANDS:
            return "HEIF"
    raise UnsupportedFormat


def load_codecs(data: bytes) -> None:
    """Import all modules that decode this file's format.

    Does nothing for an unsupported format."""
    Image.preinit()
    PngImagePlugin.MAX_TEXT_CHUNK = MAX_PNG_TEXT_BYTES
    try:
        kind = detect_format(data)
    except UnsupportedFormat:
        return
    if kind == "JPEG":
        cv2 = import_module("cv2")
        cv2.setNumThreads(1)
        # Silence OpenCV, because its messages would be mistaken for libjpeg's warnings.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if kind == "HEIF":
        pillow_heif = import_module("pillow_heif")
        pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
        load_library()
    if kind in ("HEIF", "PNG") and may_be_hdr(data):
        import_module("pipeline.photos.decoder.hdr")


def may_be_hdr(data: bytes) -> bool:
    """Return True if the file might use PQ or HLG.

    The search includes the compressed pixels. Therefore the result can be True for other files too."""
    return HDR_CODES.search(data) is not None


@contextmanager
def capture_warnings() -> Iterator[Warnings]:
    """Redirect stderr to a pipe, and yield a function that returns the text written since its previous call.

    This is how the decoder sees libjpeg's warnings, which OpenCV only writes to stderr."""
    kept = os.dup(2)
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    # Do not block if a library fills the pipe.
    os.set_blocking(reader, False)
    os.set_blocking(2, False)

    def take() -> bytes:
        try:
            return os.read(reader, 65536)
        except BlockingIOError:
            return b""

    try:
        with python_warnings.catch_warnings():
            # Ignore Pillow's warnings about sizes and EXIF blocks, which would be mistaken for a codec's warnings.
            python_warnings.simplefilter("ignore")
            yield take
    finally:
        restore_stderr(kept)
        os.close(reader)


def restore_stderr(kept: int) -> None:
    """Restore stderr.

    Does nothing after the process has dropped its privileges. The process is then about to end."""
    try:
        os.dup2(kept, 2)
    except OSError:
        return
    os.close(kept)


def read_image(data: bytes, max_pixels: int, warnings: Warnings, *, keep_alpha: bool = False) -> Image.Image:
    """Decode a photo to RGB: 8 bits, sRGB, upright, without metadata, transparency on white.

    With `keep_alpha`, a transparent picture is returned as RGBA. Raises UnsupportedFormat, TooLarge, damage.Damaged,
    damage.TooManyScans, and any exception of the decoders."""
    kind = detect_format(data)
    # Pillow refuses pictures with more than twice MAX_IMAGE_PIXELS before a decoder allocates memory.
    Image.MAX_IMAGE_PIXELS = max_pixels // 2
    if kind == "JPEG":
        stored = read_jpeg(data, max_pixels, warnings)
    else:
        stored = {"PNG": read_png, "WEBP": read_webp, "HEIF": read_heic}[kind](data, max_pixels)
    # Check again, because the true size of a HEIC is known only after decoding.
    check_size(stored.image, max_pixels)
    image, alpha = split_alpha(stored.image)
    if stored.profile:
        image = convert_profile(image, stored.profile)
    elif not stored.colors.are_srgb:
        image = convert_profile(image.convert("RGB"), build_profile(stored.colors))
    if image.mode != "RGB":
        image = image.convert("RGB")
    if alpha and keep_alpha:
        image.putalpha(alpha)
    elif alpha:
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    if stored.orientation in TURNS:
        image = image.transpose(TURNS[stored.orientation])
    image.info = {}
    return image


def check_size(image: Image.Image, max_pixels: int) -> None:
    """Raise TooLarge if the image has more than `max_pixels` pixels or an edge longer than a JPEG allows."""
    if image.width * image.height > max_pixels or max(image.size) > MAX_EDGE_PX:
        raise TooLarge


def open_image(data: bytes, kind: str, max_pixels: int) -> Image.Image:
    """Open a picture. Reads only its header.

    Raises TooLarge."""
    image = Image.open(io.BytesIO(data), formats=[kind])
    check_size(image, max_pixels)
    return image


def read_jpeg(data: bytes, max_pixels: int, warnings: Warnings) -> DecodedImage:
    """Read the first picture of a JPEG.

    Uses OpenCV, which writes libjpeg's warnings to stderr. Pillow discards them."""
    import cv2
    import numpy as np

    opened = open_image(data, "JPEG", max_pixels)
    jpeg = damage.read_jpeg(data)
    buffer = np.frombuffer(jpeg.data, np.uint8)
    ways = {1: cv2.IMREAD_GRAYSCALE, 4: cv2.IMREAD_REDUCED_GRAYSCALE_8}
    pixels = cv2.imdecode(buffer, ways.get(jpeg.components, cv2.IMREAD_COLOR_RGB) | cv2.IMREAD_IGNORE_ORIENTATION)
    damage.check_jpeg_warnings(warnings(), jpeg)
    if pixels is None:
        raise damage.Damaged
    if jpeg.components == 4:
        # Use Pillow for CMYK, because OpenCV converts it without the profile. OpenCV was only needed for the warnings.
        image = opened
        image.load()
    else:
        image = Image.fromarray(np.asarray(pixels, np.uint8))
    return DecodedImage(image, exif_colors(opened), opened.info.get("icc_profile"), exif_orientation(opened))


def read_png(data: bytes, max_pixels: int) -> DecodedImage:
    """Read a PNG.

    The sources of the color space are, by priority: cICP, the ICC profile, sRGB, and gAMA with cHRM."""
    chunks = dict(reversed(damage.read_png_chunks(data)))
    image = open_image(data, "PNG", max_pixels)
    image.load()
    orientation = exif_orientation(image)
    if image.mode.startswith("I"):
        image = scale_16_bit_gray(image)
    elif chunks[b"IHDR"][8:9] == b"\x10" and isinstance(image.info.get("transparency"), tuple):
        # Pillow has reduced the pixels to 8 bits, but the transparent color still has 16 bits.
        image.info["transparency"] = tuple(level >> 8 for level in image.info["transparency"])
    if len(chunks.get(b"cICP", b"")) == 4:
        colors = colors_of_codes(chunks[b"cICP"][0], chunks[b"cICP"][1])
        if colors.hdr:
            from pipeline.photos.decoder.hdr import tone_map_image

            image = tone_map_image(image, matrix_to_srgb(colors), is_hlg=colors.hdr == HLG)
            colors = Colors()
        return DecodedImage(image, colors, orientation=orientation)
    profile = image.info.get("icc_profile")
    gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big")
    if profile or b"sRGB" in chunks or not gamma:
        return DecodedImage(image, Colors(), profile, orientation)
    return DecodedImage(image, png_colors(gamma, chunks.get(b"cHRM", b"")), orientation=orientation)


def png_colors(gamma: int, chromaticities: bytes) -> Colors:
    """Return the color space that gAMA and cHRM declare.

    gamma: 100,000 times the encoding gamma. chromaticities: body of cHRM, which is ignored if invalid."""
    # All encoders write 1 / 2.2 for the sRGB curve.
    curve = None if abs(gamma - 45455) <= 100 else 100_000 / gamma
    if len(chromaticities) != 32:
        return Colors(gamma=curve)
    white_x, white_y, *primaries = (value / 100_000 for value in struct.unpack(">8I", chromaticities))
    colors = Colors(tuple(primaries), (white_x, white_y), curve)
    try:
        build_profile(colors)
    except (ValueError, struct.error, ZeroDivisionError):
        return Colors(gamma=curve)
    return colors


def read_webp(data: bytes, max_pixels: int) -> DecodedImage:
    """Read a WebP, or the first frame of an animation."""
    cut = damage.cut_webp(data)
    image = open_image(data, "WEBP", max_pixels)
    image.load()
    if cut is not None:
        try:
            open_image(cut, "WEBP", max_pixels).load()
        except (OSError, EOFError, SyntaxError, ValueError):
            # The picture needs its last bytes, so the file is intact.
            pass
        else:
            raise damage.Damaged
    return DecodedImage(image, exif_colors(image), image.info.get("icc_profile"), exif_orientation(image))


def read_heic(data: bytes, max_pixels: int) -> DecodedImage:
    """Read the primary picture of a HEIC.

    Ignores the EXIF orientation if the container rotates or mirrors the picture, because libheif has applied that
    already."""
    container = read_container(data)
    check_container(data, container)
    image = open_image(data, "HEIF", max_pixels)
    info = image.info
    orientation = 1 if container.primary in container.turned else info.get("original_orientation") or 1
    nclx, profile = info.get("nclx_profile"), info.get("icc_profile")
    colors = Colors()
    if nclx and not profile:
        colors = colors_of_codes(int(nclx["color_primaries"]), int(nclx["transfer_characteristics"]))
    if colors.hdr:
        from pipeline.photos.decoder.hdr import read_heic_16_bit, tone_map

        pixels = read_heic_16_bit(data)
        image = Image.fromarray(tone_map(pixels, matrix_to_srgb(colors), is_hlg=colors.hdr == HLG))
        colors = Colors()
    else:
        image.load()
    if image.mode.startswith("I"):
        image = scale_16_bit_gray(image)
    return DecodedImage(image, colors, profile, orientation)


def read_exif(image: Image.Image) -> Image.Exif:
    """Return the image's EXIF block. Returns an empty one if the block is damaged."""
    try:
        return image.getexif()
    except EXIF_ERRORS:
        return Image.Exif()


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, or 1 (upright) if there is none."""
    try:
        return int(read_exif(image).get(ORIENTATION_TAG, 1))
    except EXIF_ERRORS:
        return 1


def exif_colors(image: Image.Image) -> Colors:
    """Return Adobe RGB if the EXIF block declares it according to DCF, otherwise sRGB.

    Cameras that follow DCF embed no profile."""
    try:
        exif = read_exif(image)
        if exif.get_ifd(EXIF_TAG).get(COLOR_SPACE_TAG) == 0xFFFF and exif.get_ifd(INTEROP_TAG).get(1) == "R03":
            return Colors(ADOBE_PRIMARIES, gamma=ADOBE_GAMMA)
    except EXIF_ERRORS:
        pass
    return Colors()


def scale_16_bit_gray(image: Image.Image) -> Image.Image:
    """Convert a 16-bit gray image to 8 bits.

    Pillow's own conversion clips instead of scaling."""
    info = image.info
    wide = image.convert("I")
    gray = wide.point([(level * 255 + 32767) // 65535 for level in range(65536)], "L")
    transparent = info.get("transparency")
    if isinstance(transparent, int):
        gray.putalpha(wide.point([0 if level == transparent else 255 for level in range(65536)], "L"))
    # Drop the transparent level, which still has 16 bits. The alpha channel replaces it.
    gray.info = {name: value for name, value in info.items() if name != "transparency"}
    return gray


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split the image into its colors, without a palette, and its alpha channel.

    The alpha channel is None if nothing is transparent."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return image.convert("RGB"), image.getchannel("A")
    return (image if image.mode in {"RGB", "L", "CMYK"} else image.convert("RGB")), None


def encode(image: Image.Image) -> bytes:
    """Encode the image as a JPEG without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
