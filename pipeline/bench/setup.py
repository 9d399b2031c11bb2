"""Build networks with random weights and random conditions for benchmarks, so that nothing is downloaded."""

import time
from dataclasses import dataclass

import torch

from pipeline.diffusion.memory import fitting_batch, usable_bytes
from pipeline.diffusion.optimizations import Optimization
from pipeline.engines.instantid.conditions import Conditions, face_tokens, make_noise
from pipeline.engines.instantid.config import Sampling
from pipeline.engines.instantid.networks.bundle import Networks, prepare_networks
from pipeline.engines.instantid.networks.load import assemble
from pipeline.engines.instantid.networks.random_weights import SCHEDULER_CONFIG, SDXL, TINY, Architecture, build_parts
from pipeline.engines.instantid.networks.text_encoders import encode_ids
from pipeline.types import Embedding, Size
from pipeline.upscaling.upscale import TorchUpscaler

ARCHITECTURES = {"sdxl": SDXL, "tiny": TINY}
DEFAULT_SIZE = Size(896, 1152)
DEFAULT_SAMPLING = Sampling()
STYLE_COUNT = 10
GUIDANCE, CONTROL, ADAPTER = 5.0, 0.8, 0.8


@dataclass(frozen=True)
class Options:
    """Options of a benchmark run.

    Attributes:
        architecture: sizes of the networks.
        images: number of pictures in the pack.
        size: size of a picture before it is enlarged.
        sampling: sampler and number of steps.
        device: cuda, cuda:N or cpu.
        optimizations: optimizations to apply. None selects the default ones of the device.
        max_batch: largest number of pictures per batch.
        reference: True to also measure plain diffusers for comparison.
    """

    architecture: Architecture = SDXL
    images: int = 50
    size: Size = DEFAULT_SIZE
    sampling: Sampling = DEFAULT_SAMPLING
    device: str = "cuda"
    optimizations: frozenset[Optimization] | None = None
    max_batch: int = 10
    reference: bool = False


def build_engine(options: Options, optimizations: frozenset[Optimization]) -> tuple[Networks, TorchUpscaler, float]:
    """Build the networks and the upscaler with random weights, and apply the optimizations.

    Returns the networks, the upscaler and the seconds that building took."""
    started = time.perf_counter()
    dtype = precision(options.device)
    parts = build_parts(options.architecture, options.device, dtype)
    networks = assemble(
        parts.unet,
        parts.controlnet,
        parts.resampler.float(),
        parts.vae,
        parts.text_encoders,
        (),
        SCHEDULER_CONFIG,
        options.device,
        dtype,
        optimizations,
        offload=False,
    )
    prepare_networks(networks, optimizations)
    upscaler = TorchUpscaler(
        parts.upscaler,
        options.device,
        channels_last=Optimization.CHANNELS_LAST in optimizations,
        compiled=Optimization.COMPILE in optimizations,
    )
    return networks, upscaler, time.perf_counter() - started


def make_conditions(
    networks: Networks, count: int, size: Size, optimizations: frozenset[Optimization]
) -> list[Conditions]:
    """Return conditions for `count` pictures of one person, with one prompt per style.

    The keypoint images are random, because OpenCV might not be installed."""
    rng = torch.Generator().manual_seed(1)
    vocabulary = networks.text_encoders[0].config.vocab_size
    with torch.inference_mode():
        ids = torch.randint(vocabulary - 2, (min(count, STYLE_COUNT) + 1, 1, 77), generator=rng)
        ids[:, :, -1] = vocabulary - 1
        prompts = encode_ids(networks, [(each, each) for each in ids])
    tokens = face_tokens(networks, random_face(rng))
    images = torch.randint(256, (count, size.height, size.width, 3), generator=rng, dtype=torch.uint8).numpy()
    return [
        Conditions(
            prompt=prompts[index % (len(prompts) - 1)],
            negative=prompts[-1],
            face_tokens=tokens,
            keypoint_image=images[index],
            noise=make_noise(networks, index, size),
            guidance_scale=1.0 if Optimization.FEW_STEP in optimizations else GUIDANCE,
            control_scale=CONTROL,
            adapter_scale=ADAPTER,
        )
        for index in range(count)
    ]


def choose_batch(options: Options, optimizations: frozenset[Optimization], device: torch.device) -> int:
    """Return the number of pictures per batch that fits into memory.

    For compiled networks, returns the largest such number that leaves no picture to be rendered alone."""
    limit = min(options.max_batch, options.images)
    if device.type == "cuda":
        limit = fitting_batch(usable_bytes(device), options.size, limit)
    if Optimization.COMPILE not in optimizations:
        return limit
    sizes = range(limit, 0, -1)
    return next(size for size in sizes if options.images % size == 0 or 2 * (options.images % size) > size)


def random_face(rng: torch.Generator) -> Embedding:
    """Return a random face embedding, (512,), with about the length of a real one."""
    face: Embedding = torch.randn(512, generator=rng).numpy()
    return face


def precision(device: str) -> torch.dtype:
    return torch.float32 if device == "cpu" else torch.float16
