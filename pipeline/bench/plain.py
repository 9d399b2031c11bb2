"""Measure the baseline of the benchmark: plain diffusers, one picture at a time.

The baseline uses the libraries' own classes and attention in half precision. It caches and compiles nothing. The steps
follow the order of the published implementation. Each picture is enlarged and encoded before the next one starts.
"""

import gc
import time

import torch
from torch import Tensor

from pipeline.bench.clock import BenchReport, Clock, reset_peak, summary
from pipeline.bench.setup import CONTROL, GUIDANCE, Options, precision, random_face
from pipeline.engines.instantid.canvas import to_pixels
from pipeline.engines.instantid.config import Sampling
from pipeline.engines.instantid.networks.flops import PictureFlops
from pipeline.engines.instantid.networks.load import make_scheduler
from pipeline.engines.instantid.networks.random_weights import SCHEDULER_CONFIG, Parts, build_parts
from pipeline.files.finish import encode
from pipeline.types import DigitalSource, Pixels
from pipeline.upscaling.upscale import TorchUpscaler

REFERENCE_PICTURES = 4


def measure_reference(options: Options, flops: PictureFlops) -> BenchReport:
    """Measure REFERENCE_PICTURES pictures, rendered one after the other after a warm-up."""
    parts = build_parts(options.architecture, options.device, precision(options.device))
    device = torch.device(options.device)
    upscaler = TorchUpscaler(parts.upscaler, options.device, channels_last=False)
    with torch.inference_mode():
        encode(plain_picture(parts, upscaler, options, Sampling(2), Clock(device), seed=0), DigitalSource.TRAINED)
        reset_peak(device)
        clock = Clock(device)
        started = time.perf_counter()
        for seed in range(REFERENCE_PICTURES):
            pixels = plain_picture(parts, upscaler, options, options.sampling, clock, seed)
            with clock.stage("JPEG"):
                encode(pixels, DigitalSource.TRAINED)
        seconds = time.perf_counter() - started
    each = flops.denoising(options.sampling, frozenset()) + flops.vae + flops.upscaler
    report = summary(seconds, REFERENCE_PICTURES, each, clock, device)
    # Free the networks' memory explicitly, because torch's caching allocator would keep it.
    del parts, upscaler
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return report


def plain_picture(
    parts: Parts, upscaler: TorchUpscaler, options: Options, sampling: Sampling, clock: Clock, seed: int
) -> Pixels:
    """Render one picture with the libraries' own classes and attention, without any cache."""
    device, dtype = torch.device(options.device), precision(options.device)
    rng = torch.Generator().manual_seed(seed)
    with clock.stage("conditions"):
        vocabulary = parts.text_encoders[0].config.vocab_size
        ids = torch.randint(vocabulary - 2, (2, 77), generator=rng).to(device)
        ids[:, -1] = vocabulary - 1
        outputs = [encoder(ids, output_hidden_states=True) for encoder in parts.text_encoders]
        text = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        embedding = torch.from_numpy(random_face(rng)).to(device, dtype)[None, None]
        tokens = parts.resampler(torch.cat([torch.zeros_like(embedding), embedding])).flatten(1, -2)
        time_ids = [options.size.height, options.size.width, 0, 0, options.size.height, options.size.width]
        added = {
            "text_embeds": outputs[1].text_embeds,
            "time_ids": torch.tensor([time_ids] * 2, device=device, dtype=dtype),
        }
        condition = torch.rand(1, 3, options.size.height, options.size.width, generator=rng)
        condition = condition.to(device, dtype).repeat(2, 1, 1, 1)
    with clock.stage("denoising"):
        latents = plain_denoising(parts, text, tokens, added, condition, sampling, rng)
    with clock.stage("decoding"):
        decoded = parts.vae.decode(latents / parts.vae.config.scaling_factor, return_dict=False)[0][0]
        picture = (decoded.float() / 2 + 0.5).clamp(0, 1)
    with clock.stage("enlarging"):
        picture = upscaler.enlarge(picture)
    with clock.stage("copying"):
        return to_pixels(picture)


def plain_denoising(
    parts: Parts,
    text: Tensor,
    tokens: Tensor,
    added: dict[str, Tensor],
    condition: Tensor,
    sampling: Sampling,
    rng: torch.Generator,
) -> Tensor:
    """Denoise the latents of one picture. Returns (1, 4, h, w).

    Every step runs the ControlNet and the UNet on the unconditional and the conditional half."""
    scheduler = make_scheduler(SCHEDULER_CONFIG, sampling, text.device)
    factor = 2 ** (len(parts.vae.config.block_out_channels) - 1)
    shape = (1, 4, condition.shape[2] // factor, condition.shape[3] // factor)
    latents = torch.randn(shape, generator=rng).to(text) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        inputs = scheduler.scale_model_input(torch.cat([latents, latents]), timestep)
        down, mid = parts.controlnet(
            inputs, timestep, tokens, condition, CONTROL, added_cond_kwargs=added, return_dict=False
        )
        predicted = parts.unet(
            inputs,
            timestep,
            encoder_hidden_states=(text, [tokens[:, None]]),
            added_cond_kwargs=added,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
            return_dict=False,
        )[0]
        without, with_ = predicted.chunk(2)
        predicted = without + GUIDANCE * (with_ - without)
        latents = scheduler.step(predicted, timestep, latents, generator=rng, return_dict=False)[0]
    return latents
