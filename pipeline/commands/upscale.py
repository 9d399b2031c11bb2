"""`upscale`: enlarge the width and height of a picture four times."""

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.commands import (
    DONE,
    CommandFailed,
    advance,
    echo,
    open_weights,
    print_json,
    progress_bar,
    read_photo,
    write_atomically,
)
from pipeline.files.finish import FileFormat, encode
from pipeline.photos.decoder.damage import Damaged, TooManyScans
from pipeline.photos.decoder.images import (
    MAX_EDGE_PX,
    TooLarge,
    UnsupportedFormat,
    capture_warnings,
    load_codecs,
    read_image,
)
from pipeline.types import DigitalSource, Pixels
from pipeline.upscaling.rrdb_weights import read_rrdb, verify_official
from pipeline.upscaling.tiles import MIN_TILE_PX
from pipeline.upscaling.upscale import DEFAULT_TILE_PX, MAX_INPUT_PIXELS, SCALE, UpscaleNetwork, load_network, upscale
from pipeline.weights import Weights

ENCODERS: dict[str, FileFormat] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


def run(arguments: argparse.Namespace) -> int:
    """Enlarge the picture, write it atomically, and print the time that it took."""
    target: Path = arguments.target
    if target.suffix.lower() not in ENCODERS:
        raise CommandFailed(f"{target}: the file name must end with {' or '.join(ENCODERS)}")
    tile_px = arguments.tile or DEFAULT_TILE_PX
    if tile_px < MIN_TILE_PX:
        raise CommandFailed(f"--tile {tile_px}: must be at least {MIN_TILE_PX}")
    if not target.parent.is_dir():
        raise CommandFailed(f"{target.parent}: no such folder; create it first")
    file_format = ENCODERS[target.suffix.lower()]
    pixels, alpha = read_picture(arguments.source, keep_alpha=file_format == "png")
    if file_format == "jpeg" and max(pixels.shape) * SCALE > MAX_EDGE_PX:
        raise CommandFailed(f"{target}: a JPEG has at most {MAX_EDGE_PX:,} px per edge; use a .png file instead")
    network = open_network(arguments.network, open_weights(arguments))
    started = time.perf_counter()
    with progress_bar("Upscale") as bar:
        enlarged = upscale(
            pixels, network, advance(bar), tile_px=tile_px, plain_share=arguments.blend, grain=arguments.grain
        )
    seconds = time.perf_counter() - started
    if alpha is not None:
        enlarged = np.dstack([enlarged, enlarge_alpha(alpha)])
    write_atomically(target, encode(enlarged, DigitalSource.COMPOSITE_WITH_TRAINED, file_format))
    height, width = enlarged.shape[:2]
    if arguments.json:
        print_json({"file": str(target), "width": width, "height": height, "seconds": round(seconds, 2)})
    else:
        print(target)
        echo(f"{width} × {height} px in {seconds:.1f} s")
    return DONE


def read_picture(path: Path, *, keep_alpha: bool = False) -> tuple[Pixels, Pixels | None]:
    """Return the pixels of a file (upright, sRGB), and its alpha channel (H, W) if requested and present.

    Raises CommandFailed if the file is not a picture, is damaged, or is too large to enlarge."""
    data = read_photo(path)
    load_codecs(data)
    try:
        with capture_warnings() as warnings:
            image = read_image(data, MAX_INPUT_PIXELS, warnings, keep_alpha=keep_alpha)
    except (TooLarge, Image.DecompressionBombError) as error:
        raise CommandFailed(f"{path}: too large (at most {MAX_INPUT_PIXELS / 1e6:.0f} million pixels)") from error
    except UnsupportedFormat as error:
        raise CommandFailed(f"{path}: not a JPEG, PNG, WebP or HEIC file") from error
    except (Damaged, TooManyScans, OSError, SyntaxError, ValueError) as error:
        raise CommandFailed(f"{path}: cannot be read") from error
    alpha = np.asarray(image.getchannel("A")) if image.mode == "RGBA" else None
    return np.asarray(image.convert("RGB")), alpha


def enlarge_alpha(alpha: Pixels) -> Pixels:
    """Enlarge the alpha channel from (H, W) to (4H, 4W)."""
    height, width = alpha.shape
    size = (width * SCALE, height * SCALE)
    return np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.BICUBIC))


def open_network(file: Path | None, weights: Weights) -> UpscaleNetwork:
    """Load the network from this file, or by default from the weights folder.

    Raises WeightsError."""
    if file is None:
        return load_network(weights)
    from pipeline.upscaling.rrdb_mnn import MnnNetwork

    if file.suffix == ".pth":
        verify_official(file)
    return MnnNetwork(read_rrdb(file))
