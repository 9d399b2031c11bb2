"""What is no usable photo is refused for the right reason, whatever the bytes are."""

import os
import struct
import time
from functools import cache

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import PhotoRefused, Reason
from pipeline.photos.intake import PhotoLimits, clean_photo, load_pixels
from tests.helpers import photos
from tests.helpers.uploads import (
    CORNERS,
    compressed_zeros,
    corners,
    heic_that_claims,
    jpeg_of_scans,
    jpeg_that_claims,
    orientation_exif,
    png_chunk,
    png_of,
    png_that_claims,
    refusal,
    save,
    webp_that_claims,
)

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(
    "data",
    [
        save(corners(), "GIF"),
        save(corners(), "GIF", save_all=True, append_images=[Image.fromarray(CORNERS[::-1])]),
        save(corners(), "TIFF"),
        save(corners(), "BMP"),
        save(corners(), "PDF"),
        save(corners(), "ICO"),
        save(corners(), "AVIF"),
        save(corners(), "JPEG2000"),
        save(corners(), "EPS"),
        SVG,
        b"<html>" + save(corners(), "JPEG"),
        b"PK\x03\x04" + bytes(100),
        b"just some text",
        b"\xff",
        bytes(1000),
        b"\0\0\0\x18ftypavif\0\0\0\0mif1avif",
        b"\0\0\0\x18ftypisom\0\0\0\0isomiso2",
    ],
    ids=[
        "gif",
        "animated-gif",
        "tiff",
        "bmp",
        "pdf",
        "ico",
        "avif",
        "jpeg2000",
        "eps",
        "svg",
        "html",
        "zip",
        "text",
        "byte",
        "zeros",
        "avif-as-heif",
        "mp4",
    ],
)
def test_other_formats_are_refused_whatever_they_are_called(data):
    assert refusal(data) is Reason.UNSUPPORTED_FORMAT


def test_an_empty_file_is_unreadable():
    assert refusal(b"") is Reason.UNREADABLE


@cache
def whole_photo(image_format: str) -> bytes:
    return photos.encode(photos.astronaut(), image_format)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_a_truncated_photo_is_unreadable(image_format, share):
    data = whole_photo(image_format)

    assert refusal(data[: max(16, int(len(data) * share))]) is Reason.UNREADABLE


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_noise_behind_a_right_signature_is_unreadable(image_format):
    noise = np.random.default_rng(5).bytes(5000)

    assert refusal(save(corners(), image_format)[:24] + noise) is Reason.UNREADABLE


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_flipped_bytes_never_raise_anything_but_a_refusal(image_format):
    random = np.random.default_rng(7)
    intact = np.frombuffer(save(corners(), image_format), np.uint8)

    # A hundred more are tried in test_fuzz_decoder.py, which starts no interpreter for each of them.
    for _ in range(5):
        damaged = intact.copy()
        damaged[random.integers(0, len(damaged), 8)] = random.integers(0, 256, 8)
        try:
            load_pixels(clean_photo(damaged.tobytes()).data)
        except PhotoRefused as refused:
            assert refused.reason in {Reason.UNREADABLE, Reason.UNSUPPORTED_FORMAT, Reason.TOO_LARGE}  # noqa: PT017


@pytest.mark.parametrize(
    "data",
    [
        png_that_claims(2**31 - 1, 2**31 - 1),
        png_that_claims(10_000, 6_001),
        png_that_claims(70_000, 2),
        png_of(
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)),
            png_chunk(b"IDAT", compressed_zeros(60_000 * 7_501)),
            png_chunk(b"IEND"),
        ),
        jpeg_that_claims(65_535, 65_535),
        webp_that_claims(16_383, 16_383),
        heic_that_claims(30_000, 30_000),
        lambda: save(Image.new("1", (10_000, 6_001)), "PNG"),
        lambda: save(Image.new("L", (10_000, 6_001)), "JPEG"),
    ],
    ids=[
        "png-2e31",
        "png-60.01MP",
        "png-too-wide",
        "png-bomb",
        "jpeg-65535",
        "webp-16383",
        "heic-30000",
        "png-1-bit",
        "jpeg-gray",
    ],
)
def test_bombs_and_huge_sizes_are_too_large(data):
    # Large pictures are made here, because every process collects all tests.
    data = data() if callable(data) else data
    assert len(data) < 1_000_000
    assert refusal(data) is Reason.TOO_LARGE


def test_a_png_of_no_size_is_unreadable():
    assert refusal(png_that_claims(0, 10)) is Reason.UNREADABLE


def test_a_compressed_text_bomb_is_refused():
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + compressed_zeros(300_000_000))
    data = save(corners(), "PNG")

    assert refusal(data[:33] + bomb + data[33:]) is Reason.UNREADABLE


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded():
    data = jpeg_of_scans(6_000, 100)
    started = time.process_time() + sum(os.times()[2:4])

    assert refusal(data) is Reason.TOO_SLOW
    assert time.process_time() + sum(os.times()[2:4]) - started < 3


def test_a_photo_may_take_eight_seconds():
    assert PhotoLimits().seconds == 8


def test_a_file_over_the_limit_of_bytes_is_too_large():
    assert refusal(save(corners(), "PNG"), PhotoLimits(max_bytes=100)) is Reason.TOO_LARGE


def test_sixty_megapixels_fit():
    data = save(Image.new("RGB", (10_000, 6_000), "teal"), "JPEG", progressive=True, exif=orientation_exif(6))

    photo = clean_photo(data)

    assert (photo.width, photo.height) == (6_000, 10_000)


def test_a_decoder_that_needs_too_much_memory_is_too_large():
    data = save(Image.new("RGB", (10_000, 6_000), "teal"), "PNG")

    assert refusal(data, PhotoLimits(memory_bytes=250_000_000)) is Reason.TOO_LARGE


def test_a_decoder_that_takes_too_long_is_too_slow():
    assert refusal(save(corners(), "PNG"), PhotoLimits(seconds=0.01)) is Reason.TOO_SLOW
