"""Measure the gain of each optimization: denoise with it and without it, everything else equal."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from pipeline.bench.clock import Clock, peak_gigabytes, reset_peak
from pipeline.bench.setup import Options, build_engine, choose_batch, make_conditions
from pipeline.diffusion.optimizations import Optimization, default_optimizations
from pipeline.engines.instantid.config import Sampling, few_step_sampling
from pipeline.engines.instantid.denoise import denoise
from pipeline.engines.instantid.networks.bundle import Networks

# Five steps are enough to measure the rate. The fraction of steps after a cutoff is the same as with thirty steps.
STEPS = 5
# Start no row after this time. The slowest row compiles the networks and must still finish within ten minutes.
LAST_START_SECONDS = 420
# Optimizations that are applied when the networks are built. All others only affect the denoising loop.
BUILT_IN = frozenset(
    {
        *(Optimization.CHANNELS_LAST, Optimization.FLASH_ATTENTION, Optimization.FUSED_QKV, Optimization.CUDNN_SEARCH),
        *(Optimization.COMPILE, Optimization.CUDA_GRAPHS, Optimization.FP8, Optimization.INT8),
    }
)


@dataclass(frozen=True)
class Row:
    """The measurements of one set of optimizations. None means not measured.

    Attributes:
        name: the set's difference from the first row.
        lossless: True if all optimizations in the set are lossless.
        seconds: denoising time per picture.
        times: speedup compared with the first row.
        warm_up_seconds: duration of the warm-up, which includes compiling.
        peak_gigabytes: peak GPU memory.
    """

    name: str
    lossless: bool
    seconds: float | None = None
    times: float | None = None
    warm_up_seconds: float | None = None
    peak_gigabytes: float | None = None


def measure_table(
    options: Options, echo: Callable[[str], None], last_start_seconds: float = LAST_START_SECONDS
) -> list[Row]:
    """Measure each optimization switched on or off, compared with all lossless ones except compiling.

    Compiled networks are measured last. Rows that fail, or that would start after `last_start_seconds`, have no
    figures."""
    started = time.perf_counter()
    base = default_optimizations(options.device) - {Optimization.COMPILE}
    rows: list[Row] = []
    networks: Networks | None = None
    built: frozenset[Optimization] | None = None
    for optimizations in order(base, compiled=Optimization.COMPILE in default_optimizations(options.device)):
        name, lossless = describe(optimizations, base), all(optimization.lossless for optimization in optimizations)
        if time.perf_counter() - started > last_start_seconds:
            rows.append(Row(name, lossless))
            continue
        try:
            if networks is None or optimizations & BUILT_IN != built:
                networks = None
                free_memory(options.device)
                networks, built = build_engine(options, optimizations)[0], optimizations & BUILT_IN
            seconds, warm_up = measure_row(networks, options, optimizations)
        except RuntimeError as error:
            # Continue with the other rows if this GPU does not support the optimization or runs out of memory.
            echo(f"{name} failed: {str(error).splitlines()[0]}")
            rows.append(Row(name, lossless))
            continue
        first = rows[0].seconds if rows else seconds
        times = round(first / seconds, 2) if first else None
        peak = peak_gigabytes(networks.device)
        rows.append(Row(name, lossless, round(seconds, 4), times, round(warm_up, 1), peak))
        echo(f"{name}: {seconds:.3f} s per picture")
    return rows


def order(base: frozenset[Optimization], *, compiled: bool) -> list[frozenset[Optimization]]:
    """Return the sets of optimizations in the order of measurement.

    Sets that can share networks are adjacent. Slow sets come last."""
    lossy = [Optimization.GUIDANCE_CUTOFF, Optimization.CONTROL_CUTOFF, Optimization.FEW_STEP]
    in_loop = [
        base,
        *(base - {optimization} for optimization in sorted(base - BUILT_IN)),
        *(base | {optimization} for optimization in lossy),
    ]
    rebuilt = [*(base - {optimization} for optimization in sorted(base & BUILT_IN)), frozenset[Optimization]()]
    top = base | {Optimization.COMPILE} if compiled else base
    eight_bit = [top | {optimization} for optimization in (Optimization.FP8, Optimization.INT8)]
    return [*in_loop, *rebuilt, *([top, *eight_bit, top | {Optimization.CUDA_GRAPHS}] if compiled else eight_bit)]


def describe(optimizations: frozenset[Optimization], base: frozenset[Optimization]) -> str:
    """Describe how a set of optimizations differs from the first row's set."""
    if not optimizations:
        return "none"
    changes = [
        *(f"+{optimization}" for optimization in sorted(optimizations - base)),
        *(f"-{optimization}" for optimization in sorted(base - optimizations)),
    ]
    return " ".join(changes) or "all lossless except compile"


def measure_row(networks: Networks, options: Options, optimizations: frozenset[Optimization]) -> tuple[float, float]:
    """Return the seconds of denoising per picture, and the seconds of the warm-up.

    Measures a few steps and extrapolates to the requested number of steps."""
    few = Optimization.FEW_STEP in optimizations
    sampling = few_step_sampling() if few else Sampling(STEPS, options.sampling.sampler)
    pictures = make_conditions(
        networks, choose_batch(options, optimizations, networks.device), options.size, optimizations
    )
    clock = Clock(networks.device)
    with clock.stage("warm-up"):
        denoise(networks, pictures, Sampling(2, sampling.sampler, sampling.trailing), optimizations, lambda share: None)
    reset_peak(networks.device)
    with clock.stage("denoising"):
        denoise(networks, pictures, sampling, optimizations, lambda share: None)
    steps = sampling.steps if few else options.sampling.steps
    return clock.seconds["denoising"] / len(pictures) * steps / sampling.steps, clock.seconds["warm-up"]


def free_memory(device: str) -> None:
    """Release the memory of networks that nothing references anymore."""
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()


def as_markdown(rows: Iterable[Row]) -> str:
    """Return the table as Markdown, in the format of docs/benchmarks.md."""
    lines = [
        "| optimizations | | seconds per picture | speedup | warm-up (s) | peak memory (GB) |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = (row.seconds, row.times, row.warm_up_seconds, row.peak_gigabytes)
        cells = ("–" if figure is None else str(figure) for figure in figures)
        kind = "lossless" if row.lossless else "lossy"
        lines.append(f"| {row.name} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)
