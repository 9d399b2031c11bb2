"""Whatever format a photo has, the right picture comes out, and nothing but pixels survives."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from pipeline.errors import PhotoRefused
from pipeline.photos.intake import clean_photo, load_pixels
from tests.helpers.uploads import (
    CORNERS,
    assert_alike,
    assert_looks_like,
    corners,
    decode_here,
    orientation_exif,
    png_chunk,
    png_of,
    save,
)


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("PNG", {}),
        ("PNG", {"interlace": 1}),
        ("WEBP", {"quality": 95}),
        ("WEBP", {"lossless": True}),
        ("HEIF", {"quality": 95}),
        ("HEIF", {"quality": 95, "tile_size": 64}),
    ],
)
def test_the_four_formats_come_in(image_format, options):
    assert_looks_like(save(corners(), image_format, **options), CORNERS)


def test_what_comes_out_is_a_jpeg_with_full_color_and_no_metadata():
    with Image.open(io.BytesIO(clean_photo(save(corners(), "PNG")).data)) as image:
        assert image.format == "JPEG"
        assert image.mode == "RGB"
        assert [component[1:3] for component in image.layer] == [(1, 1)] * 3
        assert image.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def turned(orientation: int) -> np.ndarray:
    """What a camera that writes this orientation stored of the upright corners."""
    stored = {
        1: CORNERS,
        2: CORNERS[:, ::-1],
        3: CORNERS[::-1, ::-1],
        4: CORNERS[::-1],
        5: CORNERS.transpose(1, 0, 2),
        6: np.rot90(CORNERS),
        7: CORNERS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(CORNERS, 3),
    }
    return np.ascontiguousarray(stored[orientation])


def turned_file(image_format: str, orientation: int) -> bytes:
    stored = Image.fromarray(turned(orientation))
    # Here the HEIC writer looks for an orientation, which it stores in the container's own way as well.
    stored.info["exif"] = orientation_exif(orientation).tobytes()
    return save(stored, image_format, exif=stored.info["exif"], quality=95)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_every_exif_orientation_comes_out_upright(image_format, orientation):
    assert_alike(decode_here(turned_file(image_format, orientation)), CORNERS)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_a_photo_of_a_camera_held_upright_comes_out_upright(image_format):
    assert_looks_like(turned_file(image_format, 6), CORNERS)


def test_a_heic_is_turned_as_its_container_says_whatever_its_exif_says():
    stored = Image.fromarray(turned(6))
    stored.info["exif"] = orientation_exif(6).tobytes()
    data = save(stored, "HEIF", quality=95, exif=stored.info["exif"])
    tag = struct.pack(">HHIH", 0x0112, 3, 1, 6)
    assert data.count(tag) == 1

    assert_looks_like(data.replace(tag, struct.pack(">HHIH", 0x0112, 3, 1, 3)), CORNERS)


def test_a_heic_that_only_its_exif_turns_is_turned_once():
    # Fujifilm's cameras write such files.
    data = save(Image.fromarray(turned(6)), "HEIF", quality=95, exif=orientation_exif(6))
    assert b"irot" not in data

    assert_looks_like(data, CORNERS)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"]
)
def test_a_damaged_exif_block_is_no_reason_to_refuse(exif):
    assert_looks_like(save(corners(), "JPEG", quality=95, exif=exif), CORNERS)


def test_an_orientation_that_does_not_exist_is_passed_over():
    assert_looks_like(save(corners(), "JPEG", quality=95, exif=orientation_exif(77)), CORNERS)


GRAY = np.tile(np.linspace(0, 255, 128).astype(np.uint8), (96, 1))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(GRAY), np.dstack([GRAY] * 3)),
        (Image.fromarray(GRAY.astype(np.uint16) * 257), np.dstack([GRAY] * 3)),
        (Image.fromarray(GRAY > 127), np.dstack([np.where(GRAY > 127, 255, 0).astype(np.uint8)] * 3)),
        (corners().quantize(8), CORNERS),
    ],
    ids=["gray", "16-bit gray", "1-bit", "palette"],
)
def test_every_kind_of_pixel_becomes_8_bit_rgb(image, expected):
    assert_looks_like(save(image, "PNG"), expected)


def test_16_bit_rgb_becomes_8_bit():
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in CORNERS.astype(np.uint16) * 257)
    header = struct.pack(">IIBBBBB", CORNERS.shape[1], CORNERS.shape[0], 16, 2, 0, 0, 0)
    data = png_of(png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND"))

    assert_looks_like(data, CORNERS)


def test_cmyk_becomes_rgb():
    assert_looks_like(save(corners().convert("CMYK"), "JPEG", quality=95), CORNERS)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_what_is_transparent_lies_on_white(image_format):
    image = corners().convert("RGBA")
    image.paste((255, 0, 0, 0), (0, 0, 64, 96))
    expected = CORNERS.copy()
    expected[:, :64] = 255

    assert_looks_like(save(image, image_format, lossless=True), expected)


def test_a_transparent_palette_color_lies_on_white():
    image = Image.new("P", (32, 32), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])

    assert_looks_like(save(image, "PNG", transparency=1), np.full((32, 32, 3), 255, np.uint8))


def display_p3() -> bytes:
    """An ICC profile with the primaries of Display P3 and gamma 2.2."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = int.from_bytes(srgb[128:132], "big")
    tags = {
        srgb[132 + 12 * i : 136 + 12 * i]: struct.unpack(">II", srgb[136 + 12 * i : 144 + 12 * i]) for i in range(count)
    }
    profile = bytearray(srgb)
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for tag, xyz in primaries.items():
        offset = tags[tag][0]
        profile[offset + 8 : offset + 20] = struct.pack(">iii", *(round(value * 65536) for value in xyz))
    offset, size = tags[b"desc"]
    profile[offset : offset + size] = bytes(profile[offset : offset + size]).replace(b"\0s\0R\0G\0B", b"\0W\0i\0d\0e")
    return bytes(profile)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_a_wide_color_space_becomes_srgb(image_format):
    wide = np.full((64, 64, 3), (150, 100, 80), np.uint8)
    # Display P3 (150, 100, 80) by the two matrices and the shared curve.
    expected = np.full((64, 64, 3), (159, 97, 76), np.uint8)

    data = save(Image.fromarray(wide), image_format, icc_profile=display_p3(), quality=98)

    assert b"ICC_PROFILE" not in assert_looks_like(data, expected, tolerance=3)


@pytest.mark.parametrize(
    "profile", [b"garbage", b"\0" * 128, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()]
)
def test_a_color_profile_that_makes_no_sense_is_passed_over(profile):
    assert_looks_like(save(corners(), "JPEG", quality=95, icc_profile=profile), CORNERS)


def test_no_position_no_comment_no_thumbnail_no_profile_survives():
    exif = orientation_exif(1)
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "SecretNorth"
    data = save(
        corners(),
        "JPEG",
        exif=exif,
        icc_profile=display_p3(),
        comment=b"SecretComment",
        xmp=b"<x>SecretXmp</x>",
        dpi=(301, 301),
    )
    assert data.count(b"Secret") == 4

    cleaned = clean_photo(data).data

    for trace in (b"Secret", b"Exif", b"ICC_PROFILE", b"xmp", b"http", struct.pack(">HH", 301, 301)):
        assert trace not in cleaned


def test_png_text_does_not_survive():
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "SecretText")
    text.add_itxt("XML:com.adobe.xmp", "SecretXmp", zip=True)

    assert b"Secret" not in clean_photo(save(corners(), "PNG", pnginfo=text)).data


def polyglot_tails() -> list[bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("secret-tail.txt", "secret-tail")
    return [buffer.getvalue(), b"<html><script>secret-tail</script></html>", b"%PDF-1.7 secret-tail"]


@pytest.mark.parametrize("tail", polyglot_tails(), ids=["zip", "html", "pdf"])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_tail_behind_the_photo_does_not_survive(image_format, tail):
    data = save(corners(), image_format, quality=95) + tail

    assert b"secret-tail" not in assert_looks_like(data, CORNERS)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_of_an_animation_the_first_picture_is_taken(image_format):
    later = Image.fromarray(CORNERS[::-1])

    assert_looks_like(
        save(corners(), image_format, save_all=True, append_images=[later], duration=100, lossless=True), CORNERS
    )


def test_of_a_multi_picture_jpeg_the_first_is_taken():
    data = save(corners(), "MPO", save_all=True, append_images=[Image.fromarray(CORNERS[::-1])], quality=95)

    assert_looks_like(data, CORNERS)


def test_a_clean_photo_that_was_damaged_later_is_refused():
    with pytest.raises(PhotoRefused):
        load_pixels(b"\xff\xd8\xff no longer a photo")
