"""Compares what the decoder makes of photos with what Chromium shows, pixel by pixel.

Run as `python -m tests.benchmarks.compare_with_browser [FOLDER ...]`, on generated files of every kind and on the JPEG,
PNG and WebP files of the folders. Prints the mean and the largest difference of each in levels of 255, largest mean
first. Chromium does not know HEIC.
"""

import argparse
import base64
import io
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from pipeline.errors import PhotoRefused
from pipeline.photos.decoder.colors import ADOBE_PRIMARIES, PRIMARIES, Colors, build_profile
from pipeline.photos.intake import clean_photo, load_pixels
from pipeline.types import Pixels
from tests.helpers.fuzz_decoder import originals
from tests.helpers.product import CHROMIUM_SWITCHES, chromium_path
from tests.helpers.uploads import orientation_exif, png_chunk, save

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".mpo"}
# Above this mean the files are named as different.
MAX_MEAN = 2.0
DRAW = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([bytes]));
  await image.decode();
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext('2d', {colorSpace: 'srgb', willReadFrequently: true});
  context.fillStyle = 'white';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0);
  const blob = await canvas.convertToBlob({type: 'image/png'});
  const copy = new Uint8Array(await blob.arrayBuffer());
  let text = '';
  for (let at = 0; at < copy.length; at += 32768) text += String.fromCharCode(...copy.subarray(at, at + 32768));
  return btoa(text);
}"""


def made_files() -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of files that declare their colors, transparency and turn in every way."""
    for name, data in originals().items():
        if not name.startswith("HEIC"):
            yield name, data
    with Image.open(Path(skimage.__file__).with_name("data") / "astronaut.png") as image:
        photo = image.convert("RGB").resize((320, 320))
    for name, colors in {
        "Display P3": Colors(PRIMARIES[12]),
        "BT.2020": Colors(PRIMARIES[9]),
        "Adobe RGB": Colors(ADOBE_PRIMARIES, gamma=563 / 256),
        "linear": Colors(gamma=1.0),
        "gamma 1.8": Colors(gamma=1.8),
    }.items():
        profile = build_profile(colors)
        for image_format in ("JPEG", "PNG", "WEBP"):
            yield f"{image_format} {name}", save(photo, image_format, icc_profile=profile, quality=95, lossless=True)
    for orientation in range(2, 9):
        yield f"JPEG turned {orientation}", save(photo, "JPEG", exif=orientation_exif(orientation), quality=95)
    png = save(photo, "PNG")
    wide = struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600)
    for name, chunks in {
        "gAMA 1.0": [(b"gAMA", struct.pack(">I", 100_000))],
        "gAMA 0.45455": [(b"gAMA", struct.pack(">I", 45_455))],
        "gAMA 0.45455 and cHRM": [(b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", wide)],
        "cHRM alone": [(b"cHRM", wide)],
        "sRGB and gAMA 1.0": [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000))],
        "cICP P3": [(b"cICP", bytes([12, 13, 0, 1]))],
        "cICP BT.2020": [(b"cICP", bytes([9, 13, 0, 1]))],
        "cICP BT.709 curve": [(b"cICP", bytes([1, 1, 0, 1]))],
        "cICP linear": [(b"cICP", bytes([1, 8, 0, 1]))],
        "cICP PQ": [(b"cICP", bytes([9, 16, 0, 1]))],
        "cICP HLG": [(b"cICP", bytes([9, 18, 0, 1]))],
    }.items():
        body = b"".join(png_chunk(kind, content) for kind, content in chunks)
        yield f"PNG {name}", png[:33] + body + png[33:]
    gray = np.linspace(0, 65535, 256 * 64).astype(np.uint16).reshape(64, 256)
    data = save(Image.fromarray(gray), "PNG")
    yield "PNG 16-bit gray", data
    yield "PNG 16-bit gray, tRNS", data[:33] + png_chunk(b"tRNS", struct.pack(">H", int(gray[32, 128]))) + data[33:]
    yield "PNG gray, tRNS", save(photo.convert("L"), "PNG", transparency=40)
    yield "JPEG gray, profile", save(photo.convert("L"), "JPEG", icc_profile=build_profile(Colors(gamma=1.0)))


def shown_by(page: Page, data: bytes) -> Pixels:
    """Return what the browser shows, (H, W, 3), on white."""
    picture = base64.b64decode(page.evaluate(DRAW, base64.b64encode(data).decode()))
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB"))


def compare(page: Page, data: bytes) -> tuple[float, int, str]:
    """Return mean and largest difference, and a word where there is none to give."""
    try:
        shown = shown_by(page, data)
    except Exception:
        shown = None
    try:
        decoded = load_pixels(clean_photo(data).data)
    except PhotoRefused as refused:
        return 255, 255, f"refused as {refused.reason}, Chromium {'shows it' if shown is not None else 'refuses, too'}"
    if shown is None:
        return 255, 255, "not shown by Chromium"
    if shown.shape != decoded.shape:
        return 255, 255, f"{decoded.shape[1::-1]} against {shown.shape[1::-1]}"
    difference = np.abs(shown.astype(int) - decoded)
    return float(difference.mean()), int(difference.max()), ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    folders = parser.parse_args().folders
    files = list(made_files())
    for folder in folders:
        paths = sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names)
        files += [(str(path), path.read_bytes()) for path in paths if path.suffix.lower() in ENDINGS]
    rows = []
    with sync_playwright() as playwright:
        switches = [*CHROMIUM_SWITCHES, "--force-color-profile=srgb"]
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=switches)
        page = browser.new_page()
        rows = [(*compare(page, data), name) for name, data in files]
        browser.close()
    for mean, largest, word, name in sorted(rows, key=lambda row: -row[0]):
        print(f"{'DIFFERENT' if mean > MAX_MEAN else '         '} {mean:7.2f} {largest:4d}  {name} {word}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
