"""Benchmark the InstantID engine on this machine with random weights.

Needs torch, diffusers, transformers and accelerate. Does not need OpenCV, the face networks or internet access. The
benchmark repeats the steps of a worker that renders a pack: encode prompts, denoise, decode, enlarge four times, encode
JPEG files.
"""

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pipeline.bench.clock import BenchReport, Clock, describe_device, reset_peak, summary
from pipeline.bench.plain import REFERENCE_PICTURES, measure_reference
from pipeline.bench.setup import Options, build_engine, choose_batch, make_conditions
from pipeline.diffusion.memory import next_batch
from pipeline.diffusion.optimizations import Optimization, default_optimizations
from pipeline.engines.instantid.canvas import to_pixels
from pipeline.engines.instantid.config import Sampling, few_step_sampling
from pipeline.engines.instantid.denoise import decode, denoise
from pipeline.engines.instantid.networks.bundle import Networks
from pipeline.engines.instantid.networks.flops import PictureFlops, count_flops
from pipeline.files.finish import encode
from pipeline.postprocess import map_in_background
from pipeline.types import DigitalSource, Pixels
from pipeline.upscaling.upscale import TorchUpscaler

# Number of threads that encode JPEG files while the GPU renders.
ENCODERS = 4


def measure(options: Options, echo: Callable[[str], None]) -> BenchReport:
    """Run the benchmark and return everything that `bench instantid` reports."""
    report, flops = begin(options, echo)
    if options.reference:
        report["reference"] = measure_reference(options, flops)
    echo("our way")
    optimizations = selected(options)
    ours = measure_pack(options, optimizations, build_engine(options, optimizations), flops, echo)
    report["ours"] = ours
    if options.reference:
        report["ratio"] = round(per_minute(ours) / per_minute(report["reference"]), 2)
    return report


def begin(options: Options, echo: Callable[[str], None]) -> tuple[BenchReport, PictureFlops]:
    """Return the head of a report, and the operations of a picture."""
    echo("counting operations")
    flops = count_flops(options.architecture, options.size)
    if options.reference:
        echo(f"the plain way, {REFERENCE_PICTURES} pictures")
    head: BenchReport = {
        "device": describe_device(options.device),
        "torch": torch.__version__,
        "networks": options.architecture.name,
        "images": options.images,
        "size": f"{options.size.width}x{options.size.height}",
        "steps": options.sampling.steps,
        "sampler": options.sampling.sampler.value,
    }
    return head, flops


def selected(options: Options) -> frozenset[Optimization]:
    """Return the optimizations of the options, by default those of the device."""
    return default_optimizations(options.device) if options.optimizations is None else options.optimizations


def measure_pack(
    options: Options,
    optimizations: frozenset[Optimization],
    engine: tuple[Networks, TorchUpscaler, float],
    flops: PictureFlops,
    echo: Callable[[str], None],
) -> BenchReport:
    """Measure the time to render a whole pack in batches, with the result of `build_engine`.

    First renders one batch with two steps, which compiles the networks. This warm-up is reported separately."""
    sampling = few_step_sampling() if Optimization.FEW_STEP in optimizations else options.sampling
    networks, upscaler, build_seconds = engine
    batch = choose_batch(options, optimizations, networks.device)
    pictures = make_conditions(networks, batch, options.size, optimizations)
    echo(f"warming up with {batch} pictures per batch")
    started, idle = time.perf_counter(), Clock(networks.device)
    latents = denoise(networks, pictures, Sampling(2), optimizations, lambda share: None)
    finite = bool(latents.isfinite().all())
    for _ in finish_pictures(networks, upscaler, latents, idle):
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
        "finite": finite,
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
    """Yield all pictures of a pack, rendered batch by batch."""
    static = Optimization.COMPILE in optimizations
    for count in batches(options.images, batch, static):
        with clock.stage("conditions"):
            pictures = make_conditions(networks, count, options.size, optimizations)
        padded = [*pictures, *pictures[-1:] * (batch - count if static and count > 1 else 0)]
        with clock.stage("denoising"):
            latents = denoise(networks, padded, sampling, optimizations, lambda share: None)
        yield from finish_pictures(networks, upscaler, latents[:count], clock)


def finish_pictures(networks: Networks, upscaler: TorchUpscaler, latents: Tensor, clock: Clock) -> Iterator[Pixels]:
    """Decode latents (B, 4, h, w), and yield the pictures, enlarged four times."""
    for latent in latents:
        with clock.stage("decoding"):
            picture = decode(networks, latent[None])[0]
        with clock.stage("enlarging"):
            picture = upscaler.enlarge(picture)
        with clock.stage("copying"):
            pixels = to_pixels(picture)
        yield pixels


def batches(images: int, batch: int, static: bool) -> Iterator[int]:
    """Yield the number of pictures in each batch."""
    while images:
        count = batch if static and images >= batch else next_batch(images, batch, static=static)
        yield count
        images -= count


def per_minute(report: object) -> float:
    """Return the pictures per minute of a report."""
    assert isinstance(report, dict)
    return float(report["pictures_per_minute"])
