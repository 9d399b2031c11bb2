"""`upscale`: a picture four times as wide and high."""

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.commands import (
    DONE,
    CommandFailed,
    advance,
    print_json,
    progress_bar,
    read_photo,
    tell,
    write_atomically,
)
from pipeline.decoder import TooLarge, UnsupportedFormat, read_image
from pipeline.finish import FileFormat, encode
from pipeline.rrdb_weights import read_rrdb, verify_official
from pipeline.tiles import MIN_TILE_PX
from pipeline.types import DigitalSource, Pixels
from pipeline.upscale import DEFAULT_TILE_PX, MAX_INPUT_PIXELS, Network, load_network, upscale
from pipeline.weights import Weights

ENCODERS: dict[str, FileFormat] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


def run(arguments: argparse.Namespace) -> int:
    """Enlarges the picture, writes it whole or not at all, and says how long it took."""
    target: Path = arguments.target
    if target.suffix.lower() not in ENCODERS:
        raise CommandFailed(f"{target}: the result is written as {' or '.join(ENCODERS)}")
    tile_px = arguments.tile or DEFAULT_TILE_PX
    if tile_px < MIN_TILE_PX:
        raise CommandFailed(f"--tile {tile_px}: tiles have {MIN_TILE_PX} px at least")
    pixels = read_picture(arguments.source)
    network = open_network(arguments.network, Weights(arguments.weights))
    started = time.perf_counter()
    with progress_bar("Upscale") as bar:
        enlarged = upscale(
            pixels, network, advance(bar), tile_px=tile_px, plain_share=arguments.blend, grain=arguments.grain
        )
    seconds = time.perf_counter() - started
    write_atomically(target, encode(enlarged, DigitalSource.COMPOSITE_WITH_TRAINED, ENCODERS[target.suffix.lower()]))
    height, width = enlarged.shape[:2]
    if arguments.json:
        print_json({"file": str(target), "width": width, "height": height, "seconds": round(seconds, 2)})
    else:
        print(target)
        tell(f"{width} x {height} px in {seconds:.1f} s")
    return DONE


def read_picture(path: Path) -> Pixels:
    """The pixels of a file, upright sRGB. Raises CommandFailed for what is no picture or too large to enlarge."""
    Image.preinit()
    try:
        return np.asarray(read_image(read_photo(path), MAX_INPUT_PIXELS))
    except (TooLarge, Image.DecompressionBombError) as error:
        raise CommandFailed(f"{path}: too large; at most {MAX_INPUT_PIXELS / 1e6:.0f} million pixels") from error
    except UnsupportedFormat as error:
        raise CommandFailed(f"{path}: neither JPEG, PNG, WebP nor HEIC") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise CommandFailed(f"{path}: cannot be read") from error


def open_network(file: Path | None, weights: Weights) -> Network:
    """The named network, or the one in the weights folder. Raises WeightsError."""
    if file is None:
        return load_network(weights)
    from pipeline.rrdb_onnx import OnnxNetwork

    if file.suffix == ".pth":
        verify_official(file)
    return OnnxNetwork(read_rrdb(file))
