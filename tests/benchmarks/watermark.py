"""How much an invisible watermark survives: `python -m tests.benchmarks.watermark FOLDER` with finished headshots.

Marks every picture of the folder, edits it in each way of tests/helpers/edits.py and reads it. Then reads the unmarked
pictures with random keys. Prints the missed share of each edit, the largest score without a watermark, and times."""

import json
import random
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.files.watermark import MIN_SCORE, _lightness, _scores, _spectrum, embed, find_watermark
from tests.helpers.edits import EDITS, resize

KEY = b"a key for benchmarks"
ENGINES = ("studio", "instantid")
# Keys that are tried on each unmarked picture at each of these heights.
KEYS = 50
HEIGHTS = (250, 320, 400)


def main(folder: Path) -> None:
    cv2.setNumThreads(1)
    rng = random.Random(1)
    scores: dict[str, list[float]] = {edit: [] for edit in EDITS}
    seconds: dict[str, list[float]] = {"embed at 4K": [], "find": [], "find nothing": []}
    noise, highest, unmarked = [], 0.0, 0
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".png", ".jpg"))
    for number, file in enumerate(files):
        pixels = np.asarray(Image.open(file).convert("RGB"))
        marked = embed(pixels, KEY, "studio")
        noise.append(10 * np.log10(255**2 / np.mean((marked.astype(float) - pixels) ** 2)))
        for edit, apply in EDITS.items():
            edited = apply(marked, rng)
            began = time.process_time()
            found = find_watermark(edited, [KEY], ENGINES)
            seconds["find"].append(time.process_time() - began)
            scores[edit].append(found.score if found and found.engine == "studio" else 0)
        began = time.process_time()
        unmarked += find_watermark(pixels, [KEY], ENGINES) is not None
        seconds["find nothing"].append(time.process_time() - began)
        keys = np.stack([_spectrum(rng.randbytes(16), "studio") for _ in range(KEYS)])
        highest = max(highest, *(_scores(_lightness(pixels), height, keys).max() for height in HEIGHTS))
        _spectrum.cache_clear()
        if number < 5:
            large = resize(pixels, 4096)
            began = time.process_time()
            embed(large, KEY, "studio")
            seconds["embed at 4K"].append(time.process_time() - began)
    for edit, values in scores.items():
        missed = sum(value < MIN_SCORE for value in values)
        print(f"{edit:36} missed {missed} of {len(values)}, lowest {min(values):.1f}, median {np.median(values):.1f}")
    print(f"random keys: highest score {highest:.2f} of {len(files) * KEYS * len(HEIGHTS)}; found unmarked: {unmarked}")
    print(f"PSNR: mean {np.mean(noise):.1f} dB, lowest {min(noise):.1f} dB")
    print(json.dumps({name: round(float(np.median(values)), 3) for name, values in seconds.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
