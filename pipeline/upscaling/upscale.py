"""Enlarge pictures four times with Real-ESRGAN x4plus, as a whole or in tiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Pixels, Progress, ignore_progress, within
from pipeline.upscaling.tiles import OVERLAP, SEAM, Tile, plan_tiles, ramp, visible_area
from pipeline.weights import Weights

if TYPE_CHECKING:
    import torch

    from pipeline.upscaling.rrdb_torch import RRDBNet

SCALE = 4
WEIGHT = "realesrgan_x4plus"
# A tile with this side needs at most 1.2 GB of CPU memory, including its context.
DEFAULT_TILE_PX = 640
STRIP_ROWS = 256
# Input pixels per strip on the GPU. Three half-precision tensors of 64 channels at four times the size need 6 kB per
# pixel. That is 6 GB for a whole picture of a million pixels, and 0.8 GB for a strip.
STRIP_PIXELS = 131_072
MIN_STRIP_ROWS = 16
# The result for the largest input is 805 MB.
MAX_INPUT_PIXELS = 4096 * 4096


class UpscaleNetwork(Protocol):
    """Real-ESRGAN on one device. Implementations: MNN on the CPU, torch on the GPU."""

    def upscale(self, pixels: Pixels, on_progress: Progress = ignore_progress) -> Pixels:
        """Enlarge (H, W, 3) to (4H, 4W, 3) in one pass."""
        ...


def load_network(weights: Weights, threads: int = 2) -> UpscaleNetwork:
    """Load x4plus for the CPU.

    Raises WeightsError."""
    from pipeline.upscaling.rrdb_mnn import MnnNetwork
    from pipeline.upscaling.rrdb_weights import read_rrdb

    return MnnNetwork(read_rrdb(weights.path(WEIGHT)), threads)


def upscale(
    pixels: Pixels,
    network: UpscaleNetwork,
    on_progress: Progress,
    *,
    tile_px: int = DEFAULT_TILE_PX,
    wanted: NDArray[np.bool_] | None = None,
    plain_share: float = 0.0,
    grain: float = 0.0,
) -> Pixels:
    """Enlarge a picture (H, W, 3) of any size to (4H, 4W, 3), tile by tile.

    Needs memory for the result and for one tile of tile_px² pixels.

    Args:
        pixels: the picture.
        network: network that enlarges the tiles.
        on_progress: called every few seconds. Can raise Canceled.
        tile_px: side of the largest tile.
        wanted: (H, W), True where the network should be used. Most other pixels are enlarged by Lanczos interpolation.
        plain_share: 0..1, fraction of Lanczos interpolation that is mixed in everywhere, to reduce over-sharpened skin.
        grain: standard deviation of the added noise, in levels of 255.

    Raises ValueError if the picture is empty or too large.
    """
    height, width = pixels.shape[:2]
    if not 0 < height * width <= MAX_INPUT_PIXELS:
        raise ValueError(f"a picture of {width} x {height} px cannot be enlarged")
    wanted = np.ones((height, width), np.bool_) if wanted is None else wanted
    tiles, limit = plan_tiles(wanted, tile_px), visible_area(wanted)
    areas = [tile.grown(OVERLAP, limit).area for tile in tiles]
    enlarged = enlarge_plainly(pixels)
    covered = np.zeros((height, width), np.bool_)
    for number, tile in enumerate(tiles):
        report = within(on_progress, sum(areas[:number]) / sum(areas), areas[number] / sum(areas))
        _set_tile(enlarged, covered, pixels, tile, limit, network, report, plain_share)
    if grain > 0:
        add_grain(enlarged, grain)
    on_progress(1.0)
    return enlarged


def enlarge_plainly(pixels: Pixels) -> Pixels:
    """Enlarge (H, W, 3) to (4H, 4W, 3) by Lanczos interpolation."""
    import cv2

    height, width = pixels.shape[:2]
    return np.asarray(cv2.resize(pixels, (SCALE * width, SCALE * height), interpolation=cv2.INTER_LANCZOS4), np.uint8)


def _set_tile(
    enlarged: Pixels,
    covered: NDArray[np.bool_],
    pixels: Pixels,
    tile: Tile,
    limit: Tile,
    network: UpscaleNetwork,
    on_progress: Progress,
    plain_share: float,
) -> None:
    """Enlarge one tile, and blend it into the result with the tiles that are already there."""
    import cv2

    seen, kept = tile.grown(OVERLAP, limit), tile.grown(SEAM, limit)
    answer = network.upscale(np.ascontiguousarray(pixels[seen.top : seen.bottom, seen.left : seen.right]), on_progress)
    if plain_share > 0:
        plain = enlarge_plainly(pixels[seen.top : seen.bottom, seen.left : seen.right])
        answer = np.asarray(cv2.addWeighted(answer, 1 - plain_share, plain, plain_share, 0), np.uint8)
    top, left = SCALE * (kept.top - seen.top), SCALE * (kept.left - seen.left)
    rows, columns = SCALE * (kept.bottom - kept.top), SCALE * (kept.right - kept.left)
    answer = answer[top : top + rows, left : left + columns]

    place = np.s_[SCALE * kept.top : SCALE * kept.bottom, SCALE * kept.left : SCALE * kept.right]
    before = covered[kept.top : kept.bottom, kept.left : kept.right]
    down = ramp(rows, 2 * SCALE * SEAM, kept.top < tile.top, kept.bottom > tile.bottom)
    across = ramp(columns, 2 * SCALE * SEAM, kept.left < tile.left, kept.right > tile.right)
    own = np.minimum.outer(down, across)
    own[~before.repeat(SCALE, axis=0).repeat(SCALE, axis=1)] = 1
    # Blend in strips, because a float copy of a whole tile would need more memory than everything else.
    for row in range(0, rows, STRIP_ROWS):
        strip = np.s_[row : row + STRIP_ROWS]
        old = enlarged[place][strip].astype(np.float32)
        enlarged[place][strip] = np.rint(old + own[strip, :, None] * (answer[strip] - old))
    covered[kept.top : kept.bottom, kept.left : kept.right] = True


def add_grain(pixels: Pixels, deviation: float) -> None:
    """Add film grain in place. The grain is the same in all color channels.

    The same picture always gets the same grain."""
    rng = np.random.default_rng(0)
    for row in range(0, len(pixels), STRIP_ROWS):
        strip = pixels[row : row + STRIP_ROWS]
        noise = rng.standard_normal(strip.shape[:2], dtype=np.float32)[..., None] * np.float32(deviation)
        strip[:] = np.clip(np.rint(strip + noise), 0, 255)


class TorchUpscaler:
    """The upscaling network in torch. Uses half precision unless the device is the CPU."""

    def __init__(self, network: RRDBNet, device: str, *, channels_last: bool = True, compiled: bool = False) -> None:
        import torch

        self.device = device
        self.dtype = torch.float32 if device == "cpu" else torch.float16
        self.network = network.eval().requires_grad_(False).to(device=device, dtype=self.dtype)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network.to(memory_format=self.memory_format)
        if compiled:
            self.network.compile(dynamic=False)

    @classmethod
    def load(cls, path: Path, device: str, *, channels_last: bool = True, compiled: bool = False) -> TorchUpscaler:
        """Load the network from a file that `read_rrdb` can read.

        Raises WeightsError."""
        from pipeline.upscaling.rrdb_torch import load_rrdbnet

        return cls(load_rrdbnet(path), device, channels_last=channels_last, compiled=compiled)

    def enlarge(self, picture: torch.Tensor) -> torch.Tensor:
        """Enlarge (3, H, W) float, 0..1, to (3, 4H, 4W) float32, 0..1, on the device."""
        import torch

        with torch.inference_mode():
            inputs = picture[None].to(device=self.device, dtype=self.dtype).contiguous(memory_format=self.memory_format)
            strip_rows = max(MIN_STRIP_ROWS, STRIP_PIXELS // inputs.shape[3])
            return self.network(inputs, strip_rows)[0].float().clamp(0, 1)

    def upscale(self, pixels: Pixels, on_progress: Progress = ignore_progress) -> Pixels:
        """Enlarge (H, W, 3) to (4H, 4W, 3) in one pass."""
        import torch

        picture = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1) / 255
        enlarged = self.enlarge(picture).mul(255).round().byte()
        result: Pixels = enlarged.permute(1, 2, 0).contiguous().cpu().numpy()
        on_progress(1.0)
        return result
