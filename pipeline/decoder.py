"""The part of intake that touches untrusted bytes: one photo on stdin, one clean JPEG on stdout, then the end.

A script of its own (`python -I decoder.py MAX_PIXELS MEMORY_BYTES CPU_SECONDS`) that imports nothing of this package.
Before the first byte of the photo is parsed it has given up opening files and sockets, writing files, dumping core
and growing beyond its limits. (Not starting threads: HEIC is decoded in one.)

stdout: the line `ready`, then either `refused REASON` or `photo WIDTH HEIGHT`, a newline and the JPEG.
"""

import io
import resource
import struct
import sys

# All up front: later there is no file descriptor left to import with.
import pillow_heif
from PIL import Image, ImageCms, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

# A second compression at this quality, with colour at full resolution, costs nothing that can be seen.
JPEG_QUALITY = 97
# The longest edge that libjpeg writes.
MAX_EDGE_PX = 65500

HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}

ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnsupportedFormat(Exception):
    """These bytes are none of the formats that are let in."""


class TooLarge(Exception):
    """More pixels than are let in."""


def main(max_pixels: int, memory_bytes: int, cpu_seconds: int) -> None:
    Image.preinit()
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    # Pillow refuses what is larger than twice this, before any decoder makes room for it.
    Image.MAX_IMAGE_PIXELS = max_pixels // 2
    data = sys.stdin.buffer.read()
    give_up_rights(memory_bytes, cpu_seconds)
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.buffer.flush()
    sys.stdout.buffer.write(answer(data, max_pixels))
    sys.stdout.buffer.flush()


def answer(data: bytes, max_pixels: int) -> bytes:
    """What this process has to say about the photo: see the module's docstring."""
    try:
        image = read_image(data, max_pixels)
        return b"photo %d %d\n" % image.size + encode(image)
    except UnsupportedFormat:
        return b"refused unsupported_format"
    except (TooLarge, Image.DecompressionBombError, MemoryError):
        return b"refused too_large"
    except Exception:
        # Whatever else a decoder throws at hostile bytes, it means the same.
        return b"refused unreadable"


def give_up_rights(memory_bytes: int, cpu_seconds: int) -> None:
    """For good: hard limits cannot be raised again without privileges."""
    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: 0,
        # stdin, stdout and stderr: nothing more can be opened, no file and no socket.
        resource.RLIMIT_NOFILE: 3,
        # One rather than none: the kernel then leaves out a core handler that listens on a pipe, too.
        resource.RLIMIT_CORE: 1,
    }
    if sys.platform != "darwin":  # macOS knows the limit and refuses to set it
        limits[resource.RLIMIT_AS] = memory_bytes
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lowest, lowest))


def recognise(data: bytes) -> str:
    """Pillow's name of the format, by content; the file's name is not asked. Raises UnsupportedFormat."""
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


def read_image(data: bytes, max_pixels: int) -> Image.Image:
    """The first or main picture of the file: RGB, 8 bit, sRGB, upright, opaque, without metadata.

    Raises UnsupportedFormat, TooLarge, and whatever else the decoders raise.
    """
    image: Image.Image = Image.open(io.BytesIO(data), formats=[recognise(data)])
    check_size(image, max_pixels)
    orientation = read_orientation(image)
    profile = image.info.get("icc_profile")
    image.load()
    # HEIC says its true size only when it is decoded.
    check_size(image, max_pixels)
    image = flatten(image)
    if profile:
        image = convert_to_srgb(image, profile)
    if image.mode != "RGB":
        image = image.convert("RGB")
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])
    image.info = {}
    return image


def check_size(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels or max(image.size) > MAX_EDGE_PX:
        raise TooLarge


def read_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1, upright, when there is none or when the EXIF block is damaged."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error):
        return 1


def flatten(image: Image.Image) -> Image.Image:
    """The image with 8 bits a channel, without palette, and on white where it was transparent."""
    if image.mode.startswith("I"):
        # 16-bit grey. Pillow's own conversion would clip instead of scale.
        return image.point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGB", image.size, "white")
        background.paste(image, mask=image.getchannel("A"))
        background.info = image.info
        return background
    return image if image.mode in {"RGB", "L", "CMYK"} else image.convert("RGB")


def convert_to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The image in sRGB. A profile that is damaged or of another kind of image is passed over, as browsers do."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB", inPlace=image.mode == "RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    return converted or image


def encode(image: Image.Image) -> bytes:
    """The image as a JPEG without any metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
