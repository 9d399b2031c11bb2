"""Photos of people that Python packages ship, for tests: no photo is committed.

The astronaut (Eileen Collins, NASA, public domain) and the coffee cup come with scikit-image. The two presidents
are the test images of the face_recognition source archive: fetched once, pinned by hash, through the code that
fetches the weights.
"""

import io
from functools import cache
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

from pipeline.types import Pixels
from pipeline.weights import DEFAULT_DIR, Weights
from pipeline.weights.catalog import Archive, ArchiveMember, Catalog, PinnedFile, Weight

CACHE_DIR = DEFAULT_DIR.with_name("test-photos")

_ARCHIVE = Archive(
    package="face_recognition",
    version="1.3.0",
    file="face_recognition-1.3.0.tar.gz",
    bytes=3182249,
    sha256="5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
)
_PRESIDENTS = {
    file: PinnedFile(ArchiveMember(_ARCHIVE, f"face_recognition-1.3.0/tests/test_images/{file}"), file, size, sha256)
    for file, size, sha256 in (
        ("obama.jpg", 279922, "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6"),
        ("obama2.jpg", 184455, "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6"),
        ("obama_partial_face.jpg", 423060, "c2d1f09e7ef3042352b41e41286e6eb0522f64f88308be13886991b95db52117"),
        ("biden.jpg", 353723, "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c"),
    )
}


def astronaut_path() -> Path:
    """A PNG, 512 x 512: one woman, frontal, smiling, before a busy background."""
    return Path(skimage.__file__).with_name("data") / "astronaut.png"


def coffee_path() -> Path:
    """A PNG without a face."""
    return Path(skimage.__file__).with_name("data") / "coffee.png"


def obama_path() -> Path:
    """A JPEG, 910 x 1137: one man in a suit, frontal, before flags."""
    return _president_path("obama.jpg")


def obama_speaking_path() -> Path:
    """A JPEG, 626 x 1200: the same man at a podium, mouth open."""
    return _president_path("obama2.jpg")


def obama_cut_off_path() -> Path:
    """A JPEG, 491 x 1137: the same man, half of his face outside the photo."""
    return _president_path("obama_partial_face.jpg")


def biden_path() -> Path:
    """A JPEG, 970 x 2204: another man in a suit, frontal."""
    return _president_path("biden.jpg")


def astronaut() -> Pixels:
    return read_pixels(astronaut_path())


def coffee() -> Pixels:
    return read_pixels(coffee_path())


def obama() -> Pixels:
    return read_pixels(obama_path())


def obama_speaking() -> Pixels:
    return read_pixels(obama_speaking_path())


def obama_cut_off() -> Pixels:
    return read_pixels(obama_cut_off_path())


def biden() -> Pixels:
    return read_pixels(biden_path())


def two_people() -> Pixels:
    """(1137, 1880, 3): both men beside each other, each face wide enough for a headshot."""
    return np.hstack([obama(), biden()[:1137]])


def halved(pixels: Pixels) -> Pixels:
    """The photo with half of its width and height: the presidents' faces are still wide enough for a headshot."""
    return np.asarray(Image.fromarray(pixels).reduce(2))


def read_pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def encode(pixels: Pixels, image_format: str = "JPEG") -> bytes:
    """The pixels as a file, as somebody would upload it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **({"quality": 95} if image_format == "JPEG" else {}))
    return buffer.getvalue()


@cache
def _president_path(file: str) -> Path:
    photos = Weight("presidents", tuple(_PRESIDENTS.values()), license="MIT", source="a test", purpose="tests")
    Weights(CACHE_DIR, Catalog({"presidents": photos}, {})).fetch(["presidents"], lambda share: None)
    return CACHE_DIR / file
