"""What each speed trick is worth: denoising with it and without it, everything else the same."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from pipeline.bench.clock import Clock, peak_gigabytes, reset_peak
from pipeline.bench.setup import Options, build_engine, choose_batch, make_conditions
from pipeline.diffusion.optimizations import Trick, default_tricks
from pipeline.engines.instantid.config import Sampling, few_step_sampling
from pipeline.engines.instantid.denoise import denoise
from pipeline.engines.instantid.networks.bundle import Networks

# Enough for a rate, and exactly as many lie behind a cut-off as in thirty.
STEPS = 5
# No row is begun later: the longest, a compiled one, then still ends within ten minutes.
LAST_START_SECONDS = 420
# What the networks are built by; the other tricks act in the loop, on whichever networks.
BUILT_IN = frozenset(
    {
        *(Trick.CHANNELS_LAST, Trick.FLASH_ATTENTION, Trick.FUSED_QKV, Trick.CUDNN_SEARCH),
        *(Trick.COMPILE, Trick.CUDA_GRAPHS, Trick.FP8, Trick.INT8),
    }
)


@dataclass(frozen=True)
class Row:
    """One set of tricks. `seconds` of denoising a picture and `times` as fast as the first row; None: not measured."""

    name: str
    lossless: bool
    seconds: float | None = None
    times: float | None = None
    warm_up_seconds: float | None = None
    peak_gigabytes: float | None = None


def measure_table(
    options: Options, tell: Callable[[str], None], last_start_seconds: float = LAST_START_SECONDS
) -> list[Row]:
    """Every trick that changes a step, off or on, against all lossless ones but compiling; and what compiling adds."""
    started = time.perf_counter()
    base = default_tricks(options.device) - {Trick.COMPILE}
    rows: list[Row] = []
    networks: Networks | None = None
    built: frozenset[Trick] | None = None
    for tricks in order(base, compiled=Trick.COMPILE in default_tricks(options.device)):
        name, lossless = describe(tricks, base), all(trick.lossless for trick in tricks)
        if time.perf_counter() - started > last_start_seconds:
            rows.append(Row(name, lossless))
            continue
        if networks is None or tricks & BUILT_IN != built:
            networks = None
            free_memory(options.device)
            networks, built = build_engine(options, tricks)[0], tricks & BUILT_IN
        try:
            seconds, warm_up = measure_row(networks, options, tricks)
        except RuntimeError as error:
            # What this GPU cannot do, or has no memory for, must not cost the rows that it can.
            tell(f"{name} failed: {str(error).splitlines()[0]}")
            rows.append(Row(name, lossless))
            continue
        first = rows[0].seconds if rows else seconds
        times = round(first / seconds, 2) if first else None
        peak = peak_gigabytes(networks.device)
        rows.append(Row(name, lossless, round(seconds, 4), times, round(warm_up, 1), peak))
        tell(f"{name}: {seconds:.3f} s a picture")
    return rows


def order(base: frozenset[Trick], *, compiled: bool) -> list[frozenset[Trick]]:
    """The sets in the order in which they are measured: those that share networks together, the slow ones last."""
    lossy = [Trick.GUIDANCE_CUTOFF, Trick.CONTROL_CUTOFF, Trick.FEW_STEP]
    in_loop = [base, *(base - {trick} for trick in sorted(base - BUILT_IN)), *(base | {trick} for trick in lossy)]
    rebuilt = [*(base - {trick} for trick in sorted(base & BUILT_IN)), frozenset[Trick]()]
    top = base | {Trick.COMPILE} if compiled else base
    eight_bit = [top | {trick} for trick in (Trick.FP8, Trick.INT8)]
    return [*in_loop, *rebuilt, *([top, *eight_bit, top | {Trick.CUDA_GRAPHS}] if compiled else eight_bit)]


def describe(tricks: frozenset[Trick], base: frozenset[Trick]) -> str:
    """How the set differs from the first row's."""
    if not tricks:
        return "none"
    changes = [*(f"+{trick}" for trick in sorted(tricks - base)), *(f"-{trick}" for trick in sorted(base - tricks))]
    return " ".join(changes) or "all lossless but compile"


def measure_row(networks: Networks, options: Options, tricks: frozenset[Trick]) -> tuple[float, float]:
    """Seconds of denoising a picture, for as many steps as were asked for, and of the warm-up before."""
    few = Trick.FEW_STEP in tricks
    sampling = few_step_sampling() if few else Sampling(STEPS, options.sampling.sampler)
    pictures = make_conditions(networks, choose_batch(options, tricks, networks.device), options.size, tricks)
    clock = Clock(networks.device)
    with clock.stage("warm-up"):
        denoise(networks, pictures, Sampling(2, sampling.sampler, sampling.trailing), tricks, lambda share: None)
    reset_peak(networks.device)
    with clock.stage("denoising"):
        denoise(networks, pictures, sampling, tricks, lambda share: None)
    steps = sampling.steps if few else options.sampling.steps
    return clock.seconds["denoising"] / len(pictures) * steps / sampling.steps, clock.seconds["warm-up"]


def free_memory(device: str) -> None:
    """Gives back what the last networks had."""
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()


def as_markdown(rows: Iterable[Row]) -> str:
    """The table as it stands in docs/experiments.md."""
    lines = ["| tricks | | s a picture | times as fast | warm-up, s | peak, GB |", "|---|---|---|---|---|---|"]
    for row in rows:
        figures = (row.seconds, row.times, row.warm_up_seconds, row.peak_gigabytes)
        cells = ("–" if figure is None else str(figure) for figure in figures)
        kind = "lossless" if row.lossless else "lossy"
        lines.append(f"| {row.name} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)
