"""Real-ESRGAN's network on the CPU, with MNN. Does not need torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Pixels, Progress, ignore_progress
from pipeline.upscaling.mnn import MnnFile, run_network
from pipeline.upscaling.rrdb_weights import Tensors, count_blocks

SCALE = 4
LEAK = 0.2
RESIDUAL_SHARE = 0.2

# Residual blocks per stage. The network is split into stages, so that the caller gets progress and can cancel every few
# seconds. Only one stage is in memory at a time, because MNN transforms the weights to seven times their size.
BLOCKS_A_STAGE = 2
# Each output of the layers after the last block depends only on this many input pixels to each side. Therefore these
# layers can run in strips with an exact result. Their 64 channels at four times the size would otherwise need the most
# memory.
ENLARGER_REACH = 2
ENLARGER_PIXELS = 16_384


class MnnNetwork:
    """Enlarges pictures four times on the CPU. Not thread-safe.

    Other networks in other threads do not disturb it. The same picture and number of threads give the same result."""

    def __init__(self, tensors: Tensors, threads: int = 2) -> None:
        self._threads = threads
        self._stages = build_stages(tensors)
        self._enlarger = build_enlarger(tensors)

    def upscale(self, pixels: Pixels, on_progress: Progress = ignore_progress) -> Pixels:
        """Enlarge (H, W, 3) to (4H, 4W, 3).

        Needs about 2.5 kB of memory per pixel of the input."""
        picture = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        first = features = self._run(self._stages[0], picture)
        for done, stage in enumerate(self._stages[1:-1], start=1):
            features = self._run(stage, features)
            on_progress(done / len(self._stages))
        features = self._run(self._stages[-1], features)
        features += first

        height, width = pixels.shape[:2]
        enlarged = np.empty((SCALE * height, SCALE * width, 3), np.uint8)
        rows = max(8, ENLARGER_PIXELS // width)
        for top, bottom in pairwise([*range(0, height, rows), height]):
            start, end = max(0, top - ENLARGER_REACH), min(height, bottom + ENLARGER_REACH)
            strip = self._run(self._enlarger, np.ascontiguousarray(features[:, :, start:end]))[0]
            kept = strip[:, SCALE * (top - start) : SCALE * (bottom - start)]
            # Round half to even, like the reference implementation.
            enlarged[SCALE * top : SCALE * bottom] = np.rint(255 * np.clip(kept, 0, 1)).transpose(1, 2, 0)
        on_progress(1.0)
        return enlarged

    def _run(self, stage: bytes, features: NDArray[np.float32]) -> NDArray[np.float32]:
        return run_network(stage, features, self._threads)


def build_stages(tensors: Tensors) -> list[bytes]:
    """Build the body of the network as a list of networks of MNN.

    The result of the body is the sum of the outputs of the first and the last one."""
    blocks = count_blocks(tensors)
    width = len(tensors["conv_first.weight"])
    opening = _Graph(tensors, 3)
    stages = [opening.finish(opening.convolve("conv_first", opening.features))]
    for start, end in pairwise([*range(0, blocks, BLOCKS_A_STAGE), blocks]):
        graph = _Graph(tensors, width)
        result = graph.features
        for block in range(start, end):
            result = graph.residual_block(f"body.{block}", result)
        stages.append(graph.finish(result))
    closing = _Graph(tensors, width)
    return [*stages, closing.finish(closing.convolve("conv_body", closing.features))]


def build_enlarger(tensors: Tensors) -> bytes:
    """Build the layers after the body. Map 64 channels to a picture of four times the size."""
    graph = _Graph(tensors, len(tensors["conv_first.weight"]))
    result = graph.features
    for layer in ("conv_up1", "conv_up2"):
        result = graph.activate(graph.convolve(layer, graph.double(result)))
    return graph.finish(graph.convolve("conv_last", graph.activate(graph.convolve("conv_hr", result))))


class _Graph(MnnFile):
    """A part of the network. Methods return the number of the result."""

    def __init__(self, tensors: Tensors, channels: int) -> None:
        super().__init__(channels)
        self._tensors = tensors
        self._share = self.constant(RESIDUAL_SHARE)

    def convolve(self, layer: str, value: int) -> int:
        return self.convolution(value, self._tensors[f"{layer}.weight"], self._tensors[f"{layer}.bias"])

    def activate(self, value: int) -> int:
        return self.leaky_relu(value, LEAK)

    def residual_block(self, name: str, value: int) -> int:
        result = value
        for dense in (1, 2, 3):
            result = self._dense_block(f"{name}.rdb{dense}", result)
        return self._around(value, result)

    def _dense_block(self, name: str, value: int) -> int:
        seen = [value]
        for layer in (1, 2, 3, 4):
            seen.append(self.activate(self.convolve(f"{name}.conv{layer}", self._join(seen))))
        return self._around(value, self.convolve(f"{name}.conv5", self._join(seen)))

    def _join(self, values: Sequence[int]) -> int:
        return self.concatenate(values) if len(values) > 1 else values[0]

    def _around(self, value: int, residual: int) -> int:
        return self.add(value, self.multiply(residual, self._share))
