"""A photo that was cut short, overwritten or filled with zeros is refused, and what cameras get wrong is not."""

import io
import struct
from functools import cache

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import Reason
from pipeline.photos.intake import clean_photo
from tests.helpers import photos
from tests.helpers.uploads import png_chunk, refusal, save

KINDS = {
    "jpeg": ("JPEG", {"quality": 90}),
    "progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "restarts": ("JPEG", {"quality": 90, "restart_marker_rows": 1}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"quality": 85}),
    "lossless": ("WEBP", {"lossless": True}),
    "heic": ("HEIF", {"quality": 80}),
    "tiles": ("HEIF", {"quality": 80, "tile_size": 128}),
}


@cache
def photo_of(kind: str) -> bytes:
    image_format, options = KINDS[kind]
    # Compressing HEIC takes seconds. Nine tiles are enough.
    side = 384 if image_format == "HEIF" else 512
    return save(Image.fromarray(photos.astronaut()[:side, :side]), image_format, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hole_of_zeros_is_unreadable(kind):
    data = bytearray(photo_of(kind))
    middle = len(data) * 38 // 100
    data[middle : middle + 4096] = bytes(4096)

    assert refusal(bytes(data)) is Reason.UNREADABLE


@pytest.mark.parametrize("kind", KINDS)
def test_a_tail_of_zeros_is_unreadable(kind):
    data = photo_of(kind)
    kept = len(data) * 7 // 10

    assert refusal(data[:kept] + bytes(len(data) - kept)) is Reason.UNREADABLE


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 0.99])
def test_a_heic_of_tiles_that_ends_early_is_unreadable(share):
    data = photo_of("tiles")

    assert refusal(data[: int(len(data) * share)]) is Reason.UNREADABLE


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "restarts", "png", "webp"])
def test_a_photo_with_bytes_missing_is_unreadable(kind):
    data = photo_of(kind)
    middle = len(data) // 2

    assert refusal(data[:middle] + data[middle + 512 :]) is Reason.UNREADABLE


def test_a_jpeg_as_cameras_write_it_is_no_damage():
    data = photo_of("jpeg")
    frame = data.index(b"\xff\xc0")
    scan = data.index(b"\xff\xda")
    body = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    # Bytes between two segments, another version of JFIF, a scan with parameters that it has no use for, zeros and a
    # thumbnail behind the last scan.
    odd = data[:frame].replace(b"JFIF\0\x01", b"JFIF\0\x02") + b"\0\0\0" + data[frame : body - 3] + b"\0\0\0"
    odd += data[body:-2] + bytes(40) + b"\xff\xd9" + data[:5000]

    assert clean_photo(odd).data == clean_photo(data).data


def test_large_flat_areas_are_no_damage():
    flat = np.zeros((600, 800, 3), np.uint8)
    flat[100:200, 100:200] = 255

    for image_format, options in KINDS.values():
        shown = flat[:384, :384] if image_format == "HEIF" else flat
        clean_photo(save(Image.fromarray(shown), image_format, **options))
    clean_photo(save(Image.fromarray(flat), "JPEG", optimize=True))


def test_a_profile_and_an_edit_history_of_megabytes_are_no_bomb():
    text = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"<x>" * 450_000)
    noise = np.random.default_rng(3).bytes(1_500_000)
    with Image.open(io.BytesIO(photo_of("png"))) as image:
        data = save(image, "PNG", icc_profile=noise)

    assert clean_photo(data[:33] + text + data[33:]).width == 512


def test_a_png_with_a_wrong_checksum_is_unreadable():
    data = photo_of("png")
    last = data.rindex(b"IEND") - 8

    assert refusal(data[:last] + struct.pack(">I", 1) + data[last + 4 :]) is Reason.UNREADABLE
