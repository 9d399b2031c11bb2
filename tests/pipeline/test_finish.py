"""Finished files: what a picture looks like once it is a file."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.finish import encode_jpeg
from tests import photos


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_picture_becomes_a_jpeg_with_colour_at_full_resolution():
    image = opened(encode_jpeg(photos.astronaut()))

    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (512, 512))
    assert [component[1:3] for component in image.layer] == [(1, 1)] * 3


def test_it_is_marked_as_srgb_and_with_nothing_else():
    image = opened(encode_jpeg(photos.astronaut()))

    profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert image.info.keys() <= {"icc_profile", "jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert not image.getexif()


def test_the_pixels_hardly_change():
    pixels = photos.astronaut()

    difference = np.asarray(opened(encode_jpeg(pixels))).astype(int) - pixels

    assert np.abs(difference).mean() < 2


def test_the_same_pixels_give_the_same_bytes():
    assert encode_jpeg(photos.astronaut()) == encode_jpeg(photos.astronaut())


@pytest.mark.parametrize(("better", "worse"), [(95, 92), (92, 60)])
def test_more_quality_costs_more_bytes(better, worse):
    assert len(encode_jpeg(photos.astronaut(), better)) > len(encode_jpeg(photos.astronaut(), worse))
