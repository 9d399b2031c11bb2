"""Mutated photos at the decoder: `python -m tests.helpers.fuzz_decoder --count 10000 --seed 1`.

Each file is decoded by a forked child that gives up its rights and has the limits of the product. Prints a report as
JSON: answers, the dearest file, processes over their limits (there must be none), and for each kind of damage the
share that passes, and of these the share that can be seen at a size of 64 pixels.
"""

import argparse
import io
import json
import os
import random
import select
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pillow_heif
import skimage
from PIL import Image

from pipeline.photos.decoder import hdr  # noqa: F401  loaded before rights are given up
from pipeline.photos.decoder.__main__ import answer
from pipeline.photos.decoder.images import capture_warnings, load_codecs
from pipeline.photos.decoder.rights import drop_privileges
from pipeline.photos.intake import PhotoLimits

LIMITS = PhotoLimits()
THUMBNAIL = (64, 64)
# Levels of 255 in a thumbnail: less is not seen.
VISIBLE = 24
Mutator = Callable[[bytes, random.Random], bytes]


def place(data: bytes, randomness: random.Random) -> int:
    return randomness.randrange(min(64, len(data) // 8), len(data))


def overwrite(length: int, fill: Callable[[random.Random, int], bytes]) -> Mutator:
    def mutate(data: bytes, randomness: random.Random) -> bytes:
        start = place(data, randomness)
        end = min(len(data), start + length)
        return data[:start] + fill(randomness, end - start) + data[end:]

    return mutate


def zeros(randomness: random.Random, length: int) -> bytes:
    return bytes(length)


def noise(randomness: random.Random, length: int) -> bytes:
    return randomness.randbytes(length)


def flip(count: int) -> Mutator:
    def mutate(data: bytes, randomness: random.Random) -> bytes:
        changed = bytearray(data)
        for _ in range(count):
            changed[place(data, randomness)] ^= 1 << randomness.randrange(8)
        return bytes(changed)

    return mutate


def change_head(data: bytes, randomness: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(randomness.randrange(1, 6)):
        changed[randomness.randrange(min(len(data), 700))] = randomness.choice((0, 1, 127, 128, 254, 255))
    return bytes(changed)


def drop(data: bytes, randomness: random.Random) -> bytes:
    start = place(data, randomness)
    return data[:start] + data[start + randomness.choice((1, 64, 512, 4096)) :]


def repeat(data: bytes, randomness: random.Random) -> bytes:
    start = place(data, randomness)
    return data[: start + 512] + data[start:]


def swap(data: bytes, randomness: random.Random) -> bytes:
    start, other = place(data, randomness), place(data, randomness)
    piece = data[other : other + 4096]
    return (data[:start] + piece + data[start + len(piece) :])[: len(data)]


MUTATORS: dict[str, Mutator] = {
    "cut": lambda data, randomness: data[: place(data, randomness)],
    "zeros 64": overwrite(64, zeros),
    "zeros 512": overwrite(512, zeros),
    "zeros 4096": overwrite(4096, zeros),
    "zero tail": overwrite(1 << 30, zeros),
    "noise 512": overwrite(512, noise),
    "bit": flip(1),
    "64 bits": flip(64),
    "head": change_head,
    "drop": drop,
    "repeat": repeat,
    "swap": swap,
}


@cache
def originals() -> dict[str, bytes]:
    """Return intact files of every format and kind of pixels, made of photos that scikit-image ships."""
    pillow_heif.register_heif_opener()
    folder = Path(skimage.__file__).with_name("data")
    with Image.open(folder / "astronaut.png") as image:
        photo = image.convert("RGB").resize((320, 320))
    files = {"JPEG of a camera": (folder / "rocket.jpg").read_bytes()}
    mask = Image.linear_gradient("L").resize(photo.size)
    clear = photo.copy()
    clear.putalpha(mask)
    for name, picture, image_format, options in (
        ("JPEG", photo, "JPEG", {"quality": 90}),
        ("JPEG progressive", photo, "JPEG", {"quality": 90, "progressive": True}),
        ("JPEG with restarts", photo, "JPEG", {"quality": 85, "restart_marker_rows": 1}),
        ("JPEG gray", photo.convert("L"), "JPEG", {"quality": 90}),
        ("JPEG CMYK", photo.convert("CMYK"), "JPEG", {"quality": 90}),
        ("JPEG of two", photo, "MPO", {"save_all": True, "append_images": [photo]}),
        ("PNG", photo, "PNG", {}),
        ("PNG palette", photo.quantize(64), "PNG", {"transparency": 3}),
        ("PNG alpha", clear, "PNG", {}),
        ("PNG animated", photo, "PNG", {"save_all": True, "append_images": [photo]}),
        ("WebP", photo, "WEBP", {"quality": 85}),
        ("WebP lossless", photo, "WEBP", {"lossless": True}),
        ("WebP alpha", clear, "WEBP", {"quality": 85}),
        ("WebP animated", photo, "WEBP", {"save_all": True, "append_images": [mask], "duration": 100}),
        ("HEIC", photo, "HEIF", {"quality": 80}),
        ("HEIC tiles", photo, "HEIF", {"quality": 80, "tile_size": 128}),
        ("HEIC alpha", clear, "HEIF", {"quality": 80}),
    ):
        buffer = io.BytesIO()
        picture.save(buffer, image_format, **options)
        files[name] = buffer.getvalue()
    return files


def mutations(count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield name of the original, kind of damage and damaged file; the same seed gives the same files."""
    files = originals()
    pairs = [(name, kind) for kind in MUTATORS for name in files]
    randomness = random.Random(seed)
    randomness.shuffle(pairs)
    made = 0
    while made < count:
        for name, kind in pairs:
            data = MUTATORS[kind](files[name], randomness)
            if data != files[name] and made < count:
                made += 1
                yield name, kind, data


@dataclass(frozen=True)
class Outcome:
    """What a decoder answered and what it cost. fault: how it broke its limits, empty if it did not."""

    words: str
    thumbnail: bytes
    seconds: float
    peak_mb: int
    fault: str


def decode(data: bytes) -> Outcome:
    """Decode in a forked child with the product's limits."""
    reader, writer = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _answer_and_end(data, writer)
    os.close(writer)
    output, fault = b"", ""
    while True:
        if not select.select([reader], [], [], LIMITS.seconds + 4)[0]:
            os.kill(child, signal.SIGKILL)
            fault = "hangs"
        piece = os.read(reader, 65536)
        if not piece:
            break
        output += piece
    os.close(reader)
    _, status, usage = os.wait4(child, 0)
    words, _, thumbnail = output.partition(b"\n")
    seconds, peak_mb = time.monotonic() - started, usage.ru_maxrss // 1024
    if usage.ru_utime + usage.ru_stime > LIMITS.seconds:
        fault = "takes too long"
    if peak_mb << 20 > LIMITS.memory_bytes:
        fault = "takes too much memory"
    answered = words.decode() if output else f"ended by signal {os.WTERMSIG(status)}"
    return Outcome(answered, thumbnail, seconds, peak_mb, fault)


def _answer_and_end(data: bytes, writer: int) -> None:
    try:
        with capture_warnings() as warnings:
            drop_privileges(LIMITS.memory_bytes, 2 * int(LIMITS.seconds))
            words, _, jpeg = answer(data, LIMITS.max_pixels, warnings).partition(b"\n")
            if jpeg:
                with Image.open(io.BytesIO(jpeg)) as image:
                    jpeg = image.convert("RGB").resize(THUMBNAIL).tobytes()
            os.write(writer, words.partition(b" ")[0] + b" " + words.split()[1] + b"\n" + jpeg)
    finally:
        os._exit(0)


def visibly_differs(one: bytes, other: bytes) -> bool:
    return any(abs(a - b) > VISIBLE for a, b in zip(one, other, strict=True))


def run(count: int, seed: int) -> dict[str, object]:
    """Return the report on `count` mutated files."""
    files = originals()
    for data in files.values():
        load_codecs(data)
    intact = {name: decode(data) for name, data in files.items()}
    assert all(outcome.words.startswith("photo") for outcome in intact.values()), intact
    answers: Counter[str] = Counter()
    tried, passed, seen = Counter[str](), Counter[str](), Counter[str]()
    dearest: dict[str, float] = defaultdict(float)
    faults = []
    for number, (name, kind, data) in enumerate(mutations(count, seed)):
        outcome = decode(data)
        is_photo = outcome.words.startswith("photo")
        answers["photo" if is_photo else outcome.words] += 1
        dearest["seconds"] = max(dearest["seconds"], outcome.seconds)
        dearest["megabytes"] = max(dearest["megabytes"], outcome.peak_mb)
        if outcome.fault:
            faults.append(f"file {number} ({name}, {kind}) {outcome.fault}")
        for group in (name, kind):
            tried[group] += 1
            passed[group] += is_photo
            seen[group] += is_photo and visibly_differs(outcome.thumbnail, intact[name].thumbnail)
    shares = {
        group: f"{passed[group]} of {tried[group]} pass, {seen[group]} of them visibly" for group in sorted(tried)
    }
    total = sum(seen[kind] for kind in MUTATORS)
    return {
        "files": count,
        "originals": sorted(files),
        "answers": dict(answers),
        "pass": f"{answers['photo'] / count:.1%}",
        "pass visibly": f"{total / count:.1%}",
        "dearest": dict(dearest),
        "faults": faults,
        "shares": shares,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    report = run(arguments.count, arguments.seed)
    print(json.dumps(report, indent=1))
    return 1 if report["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
