"""Benchmark the InstantID engine on this machine, with random weights.

Needs torch, diffusers, transformers and accelerate, but no opencv, face networks or internet. A pack is measured as a
worker renders it: text, denoising, decoding, enlarging four times, JPEG.
"""

import time
from collections.abc import Callable, Iterator, Sequence

import torch

from pipeline.bench.clock import BenchReport, Clock, describe_device, reset_peak, summary
from pipeline.bench.plain import measure_reference
from pipeline.bench.setup import Options, build_engine, choose_batch, make_conditions
from pipeline.diffusion.memory import next_batch
from pipeline.diffusion.optimizations import Optimization, default_optimizations
from pipeline.engines.instantid.canvas import to_pixels
from pipeline.engines.instantid.conditions import Conditions
from pipeline.engines.instantid.config import Sampling, few_step_sampling
from pipeline.engines.instantid.denoise import decode, denoise
from pipeline.engines.instantid.networks.bundle import Networks
from pipeline.engines.instantid.networks.flops import PictureFlops, count_flops
from pipeline.files.finish import encode
from pipeline.postprocess import map_in_background
from pipeline.types import DigitalSource, Pixels
from pipeline.upscaling.upscale import TorchUpscaler

# Threads that encode JPEG files while the GPU renders.
ENCODERS = 4


def measure(options: Options, echo: Callable[[str], None]) -> BenchReport:
    """Measure everything that `bench instantid` reports."""
    echo("counting operations")
    flops = count_flops(options.architecture, options.size)
    report: BenchReport = {
        "device": describe_device(options.device),
        "torch": torch.__version__,
        "networks": options.architecture.name,
        "images": options.images,
        "size": f"{options.size.width}x{options.size.height}",
        "steps": options.sampling.steps,
        "sampler": options.sampling.sampler.value,
    }
    if options.reference:
        echo("the plain way")
        report["reference"] = measure_reference(options, flops)
    echo("our way")
    ours = measure_pack(options, flops, echo)
    report["ours"] = ours
    if options.reference:
        report["ratio"] = round(float(str(ours["pictures_per_minute"])) / per_minute(report["reference"]), 2)
    return report


def measure_pack(options: Options, flops: PictureFlops, echo: Callable[[str], None]) -> BenchReport:
    """Measure a whole pack, batch by batch.

    A warm-up of two steps compiles the networks first."""
    optimizations = default_optimizations(options.device) if options.optimizations is None else options.optimizations
    sampling = few_step_sampling() if Optimization.FEW_STEP in optimizations else options.sampling
    networks, upscaler, build_seconds = build_engine(options, optimizations)
    batch = choose_batch(options, optimizations, networks.device)
    pictures = make_conditions(networks, batch, options.size, optimizations)
    echo(f"warming up with {batch} pictures per batch")
    started = time.perf_counter()
    for _ in make_pictures(networks, upscaler, pictures, Sampling(2), optimizations, Clock(networks.device)):
        pass
    warm_seconds = time.perf_counter() - started
    echo("measuring")
    reset_peak(networks.device)
    clock = Clock(networks.device)
    started = time.perf_counter()
    made = make_pack(options, networks, upscaler, sampling, optimizations, batch, clock)
    files = map_in_background(
        made, lambda pixels: encode(pixels, DigitalSource.TRAINED), threads=ENCODERS, max_in_flight=batch
    )
    sizes = [len(file) for file in files]
    seconds = time.perf_counter() - started
    clock.seconds["waiting for JPEG"] = seconds - sum(clock.seconds.values())
    assert len(sizes) == options.images
    each = flops.denoising(sampling, optimizations) + flops.vae + flops.upscaler
    return {
        "optimizations": sorted(optimization.value for optimization in optimizations),
        "lossless": all(optimization.lossless for optimization in optimizations),
        "batch": batch,
        "build_seconds": round(build_seconds, 1),
        "warm_up_seconds": round(warm_seconds, 1),
        **summary(seconds, options.images, each, clock, networks.device),
        "denoising_tflop_per_second": round(
            options.images * flops.denoising(sampling, optimizations) / clock.seconds["denoising"], 4
        ),
    }


def make_pack(
    options: Options,
    networks: Networks,
    upscaler: TorchUpscaler,
    sampling: Sampling,
    optimizations: frozenset[Optimization],
    batch: int,
    clock: Clock,
) -> Iterator[Pixels]:
    """Yield every picture of a pack, batch by batch."""
    static = Optimization.COMPILE in optimizations
    for count in batches(options.images, batch, static):
        with clock.stage("conditions"):
            pictures = make_conditions(networks, count, options.size, optimizations)
        padded = [*pictures, *pictures[-1:] * (batch - count if static and count > 1 else 0)]
        yield from make_pictures(networks, upscaler, padded, sampling, optimizations, clock, count)


def make_pictures(
    networks: Networks,
    upscaler: TorchUpscaler,
    pictures: Sequence[Conditions],
    sampling: Sampling,
    optimizations: frozenset[Optimization],
    clock: Clock,
    wanted: int | None = None,
) -> Iterator[Pixels]:
    """Yield the first `wanted` pictures of one batch, four times as wide and high."""
    with clock.stage("denoising"):
        latents = denoise(networks, pictures, sampling, optimizations, lambda share: None)
    for latent in latents[:wanted]:
        with clock.stage("decoding"):
            picture = decode(networks, latent[None])[0]
        with clock.stage("enlarging"):
            picture = upscaler.enlarge(picture)
        with clock.stage("copying"):
            pixels = to_pixels(picture)
        yield pixels


def batches(images: int, batch: int, static: bool) -> Iterator[int]:
    """Yield the number of pictures of each batch."""
    while images:
        count = batch if static and images >= batch else next_batch(images, batch, static=static)
        yield count
        images -= count


def per_minute(report: object) -> float:
    assert isinstance(report, dict)
    return float(report["pictures_per_minute"])
