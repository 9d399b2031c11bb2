"""Colors come out right, however the file declares them: the same gray card and skin from every kind of file."""

import io
import struct

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from pipeline.photos.decoder.colors import Colors, build_profile
from pipeline.photos.intake import clean_photo, load_pixels
from tests.helpers.uploads import png_chunk, save

# Skin, gray, dark skin and sky, in sRGB.
PATCHES = np.array([[200, 167, 143], [119, 119, 119], [92, 58, 41], [120, 160, 210]], np.uint8)
BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
# White of BT.2408: PQ at 203 nits; HLG at 75 % of its signal, 0.265 of its light.
WHITE_NITS, HLG_WHITE = 203, 0.265


def linear() -> np.ndarray:
    signal = PATCHES / 255
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def pq(light: np.ndarray) -> np.ndarray:
    power = (light * WHITE_NITS / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(light: np.ndarray) -> np.ndarray:
    light = light * HLG_WHITE
    return np.where(
        light <= 1 / 12, np.sqrt(3 * light), 0.17883277 * np.log(np.maximum(12 * light - 0.28466892, 1e-6)) + 0.55991073
    )


def card(signal: np.ndarray, levels: int = 255) -> np.ndarray:
    """(64, 256, 3): four patches of 64 pixels."""
    return np.tile(np.round(signal * levels).repeat(64, axis=0), (64, 1, 1)).astype(
        np.uint8 if levels == 255 else "<u2"
    )


def assert_right(data: bytes, tolerance: int) -> None:
    pixels = load_pixels(clean_photo(data).data)
    found = np.array([np.median(pixels[16:48, 64 * i + 16 : 64 * i + 48], axis=(0, 1)) for i in range(4)])
    assert np.abs(found - PATCHES).max() <= tolerance, found


def heic(signal: np.ndarray, primaries: int, curve: int, matrix: int) -> bytes:
    wide = card(signal, 65535)
    file = pillow_heif.from_bytes(mode="RGB;16", size=(256, 64), data=wide.tobytes())
    buffer = io.BytesIO()
    file.save(
        buffer,
        quality=-1,
        chroma=444,
        color_primaries=primaries,
        transfer_characteristics=curve,
        matrix_coefficients=matrix,
        full_range_flag=1,
    )
    return buffer.getvalue()


@pytest.mark.parametrize(("encode", "code"), [(pq, 16), (hlg, 18)], ids=["PQ", "HLG"])
def test_a_heic_for_bright_screens_keeps_its_skin(encode, code):
    assert_right(heic(encode(linear() @ BT2020.T), 9, code, 9), tolerance=3)


def test_a_heic_for_bright_screens_keeps_its_skin_behind_another_picture():
    file = pillow_heif.HeifFile()
    file.add_from_pillow(Image.new("RGB", (64, 64)))
    wide = card(pq(linear() @ BT2020.T), 65535)
    file.add_frombytes("RGB;16", (256, 64), wide.tobytes())
    nclx = {"color_primaries": 9, "transfer_characteristics": 16, "matrix_coefficients": 9, "full_range_flag": 1}
    file[1].info["nclx_profile"] = nclx
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, chroma=444, primary_index=1)
    data = buffer.getvalue()
    # Both pictures declare their colors, and the first one's are not those of the main one.
    assert data.count(b"colrnclx") == 2

    assert_right(data, tolerance=3)


def test_highlights_of_a_heic_for_bright_screens_stay_in_order():
    levels = pq(np.array([0.5, 1, 2, 5])[:, None].repeat(3, axis=1))
    pixels = load_pixels(clean_photo(heic(levels, 9, 16, 9)).data)

    row = pixels[32, 32::64, 0].astype(int)
    assert (np.diff(row) > 0).all()
    assert row[-1] <= 255


def video(light: np.ndarray) -> np.ndarray:
    return np.where(light < 0.018, light * 4.5, 1.099 * light**0.45 - 0.099)


def test_a_heic_in_wide_colors_without_a_profile_becomes_srgb():
    assert_right(heic(video(linear() @ BT2020.T), 9, 14, 9), tolerance=3)
    assert_right(heic(srgb(linear() @ BT2020.T), 9, 13, 9), tolerance=3)


def test_a_heic_whose_phone_names_the_curve_of_video_is_srgb():
    assert_right(heic(srgb(linear()), 5, 6, 6), tolerance=3)


def png(signal: np.ndarray, *chunks: bytes) -> bytes:
    data = save(Image.fromarray(card(signal)), "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


CHROMATICITIES = struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600)


@pytest.mark.parametrize(
    ("signal", "chunks"),
    [
        (srgb(linear()), []),
        (linear(), [(b"gAMA", struct.pack(">I", 100_000))]),
        (linear() ** (1 / 1.8), [(b"gAMA", struct.pack(">I", 55_556))]),
        (srgb(linear()), [(b"gAMA", struct.pack(">I", 45_455))]),
        (srgb(linear()), [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000))]),
        (srgb(linear() @ BT2020.T), [(b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", CHROMATICITIES)]),
        (srgb(linear() @ BT2020.T), [(b"cICP", bytes([9, 13, 0, 1]))]),
        (video(linear() @ BT2020.T), [(b"cICP", bytes([9, 1, 0, 1]))]),
        (srgb(linear()), [(b"cICP", bytes([1, 1, 0, 1]))]),
        (linear(), [(b"cICP", bytes([1, 8, 0, 1])), (b"sRGB", b"\0")]),
        (pq(linear() @ BT2020.T), [(b"cICP", bytes([9, 16, 0, 1]))]),
        (srgb(linear()), [(b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", bytes(32))]),
    ],
    ids=[
        "plain",
        "linear",
        "1.8",
        "2.2",
        "sRGB",
        "wide",
        "cICP",
        "wide video",
        "video",
        "cICP first",
        "PQ",
        "no primaries",
    ],
)
def test_a_png_is_read_as_its_chunks_say(signal, chunks):
    assert_right(png(signal, *(png_chunk(kind, body) for kind, body in chunks)), tolerance=4)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_a_profile_is_judged_by_its_curve_and_not_by_its_name(image_format):
    profile = build_profile(Colors(gamma=1.0))
    named = profile + b"desc sRGB IEC61966-2.1"
    image = Image.fromarray(card(linear()))

    assert_right(save(image, image_format, icc_profile=named, quality=98, lossless=True, chroma=444), tolerance=6)


def test_adobe_rgb_of_cameras_without_a_profile_becomes_srgb():
    to_adobe = np.array([[0.7152, 0.2848, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0412, 0.9588]])
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    image = Image.fromarray(card((linear() @ to_adobe.T) ** (256 / 563)))

    assert_right(save(image, "JPEG", quality=98, subsampling=0, exif=exif), tolerance=4)


def test_a_transparent_level_of_a_16_bit_gray_png_lies_on_white():
    levels = np.full((64, 256), 30_000, np.uint16)
    levels[:, 128:] = 30_001
    data = save(Image.fromarray(levels), "PNG")

    transparent = png_chunk(b"tRNS", struct.pack(">H", 30_001))
    pixels = load_pixels(clean_photo(data[:33] + transparent + data[33:]).data)

    assert abs(int(pixels[32, 64, 0]) - 117) <= 2
    assert pixels[32, 192, 0] >= 253
