"""Files as they may be uploaded: every format, and every way to lie about one."""

import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from pipeline.errors import PhotoRefused, Reason
from pipeline.photos.decoder.images import capture_warnings, load_codecs, read_image
from pipeline.photos.intake import PhotoLimits, clean_photo, load_pixels

pillow_heif.register_heif_opener()

# Red, green, blue, white in the corners, so that every turn and mirror image is another picture.
CORNERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
CORNERS = CORNERS.repeat(48, axis=0).repeat(64, axis=1)
DEFAULTS = PhotoLimits()


def save(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def corners() -> Image.Image:
    return Image.fromarray(CORNERS)


def refusal(data: bytes, limits: PhotoLimits = DEFAULTS) -> Reason:
    with pytest.raises(PhotoRefused) as refused:
        clean_photo(data, limits)
    return refused.value.reason


def assert_looks_like(data: bytes, expected: np.ndarray, tolerance: int = 6) -> bytes:
    """The upload comes out as `expected`, up to what lossy formats do; edges between the colors are left out.

    Return the clean photo."""
    photo = clean_photo(data)
    assert (photo.height, photo.width) == expected.shape[:2]
    assert_alike(load_pixels(photo.data), expected, tolerance)
    return photo.data


def assert_alike(pixels: np.ndarray, expected: np.ndarray, tolerance: int = 6) -> None:
    assert pixels.shape == expected.shape
    difference = np.abs(pixels.astype(int) - expected.astype(int))
    assert np.percentile(difference, 95) <= tolerance


def decode_here(data: bytes) -> np.ndarray:
    """Decode an upload with the decoder's code, but in this process and with its rights.

    For series of files that differ in a number only: starting a process for each takes much longer than decoding."""
    load_codecs(data)
    with capture_warnings() as warnings:
        return np.asarray(read_image(data, DEFAULTS.max_pixels, warnings))


def orientation_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png_chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def jpeg_segment(payload: bytes) -> bytes:
    """Return an APP1 segment, where EXIF and XMP are."""
    return b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload


def compressed_zeros(length: int) -> bytes:
    """Return what `zlib.compress(bytes(length), 9)` stands for, without compressing all of it."""
    block_bytes = 1_000_000
    deflate = zlib.compressobj(9, wbits=-15)
    block = deflate.compress(bytes(block_bytes)) + deflate.flush(zlib.Z_FULL_FLUSH)
    rest = deflate.compress(bytes(length % block_bytes)) + deflate.flush()
    # The Adler-32 checksum of zeros.
    checksum = (length % 65521) << 16 | 1
    return b"\x78\xda" + block * (length // block_bytes) + rest + checksum.to_bytes(4, "big")


def png_of(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_that_claims(width: int, height: int) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return png_of(header, png_chunk(b"IDAT", zlib.compress(bytes(1000))), png_chunk(b"IEND"))


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = save(corners(), "JPEG")
    frame = data.index(b"\xff\xc0")
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


def webp_that_claims(width: int, height: int) -> bytes:
    data = save(corners().convert("RGBA"), "WEBP", exif=orientation_exif(6))
    start = data.index(b"VP8X") + 12
    return data[:start] + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + data[start + 6 :]


def heic_that_claims(width: int, height: int) -> bytes:
    data = save(corners(), "HEIF")
    start = data.index(b"ispe") + 8
    return data[:start] + struct.pack(">II", width, height) + data[start + 8 :]


def jpeg_of_scans(edge_px: int, more_scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again, as the standard allows it."""
    data = save(Image.new("RGB", (edge_px, edge_px)), "JPEG", progressive=True)
    last_scan = data.rindex(b"\xff\xda")
    return data[:-2] + data[last_scan:-2] * more_scans + b"\xff\xd9"
