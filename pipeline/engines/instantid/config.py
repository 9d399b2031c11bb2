"""Configuration of the engine: weights, device, sampling. Imports no heavy package."""

from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from pipeline.diffusion.optimizations import Optimization, default_optimizations


class Sampler(StrEnum):
    """The diffusers scheduler that a picture is denoised with."""

    EULER = "euler"
    DPMPP_2M_KARRAS = "dpmpp_2m_karras"


@dataclass(frozen=True)
class Sampling:
    """The number of denoising steps and their sampler.

    `trailing` starts at the last timestep, as few-step adapters were trained."""

    steps: int = 30
    sampler: Sampler = Sampler.EULER
    trailing: bool = False


@dataclass(frozen=True)
class WeightFiles:
    """Paths of the engine's weights.

    Attributes:
        base: SDXL as a folder in diffusers' layout, or one .safetensors file. A file needs `base_configs`.
        controlnet: folder with config.json and diffusion_pytorch_model.safetensors.
        adapter: ip-adapter.safetensors, see `weights.convert`.
        faces: folder with insightface's detection and recognition networks.
        base_configs: folder with SDXL's configs and tokenizers.
        vae: folder of a VAE that replaces the base's own.
        upscaler: x4 RRDBNet as .safetensors. Without it no picture can be more than 1.1 times as large as the canvas.
        lora: few-step distillation as .safetensors, needed by the optimization `few_step`.
    """

    base: Path
    controlnet: Path
    adapter: Path
    faces: Path
    base_configs: Path | None = None
    vae: Path | None = None
    upscaler: Path | None = None
    lora: Path | None = None

    def missing(self) -> tuple[str, ...]:
        """Return one sentence per file or folder that does not exist.

        Only checks existence. Loading verifies the content."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return tuple(f"{path} ({name}) is missing." for name, path in named.items() if path and not path.exists())


@dataclass(frozen=True)
class InstantIDConfig:
    """The configuration of one engine.

    `device` has no fallback: without CUDA the engine only starts if `cpu` was asked for."""

    weights: WeightFiles
    device: str = "cuda"
    sampling: Sampling = Sampling()
    optimizations: frozenset[Optimization] | None = None
    max_batch: int = 10
    # About the pixel count that SDXL was trained for. Exactly 1024 x 1024 is avoided because it produces stock photo
    # watermarks (published).
    canvas_pixels: int = 896 * 1152

    @property
    def chosen_optimizations(self) -> frozenset[Optimization]:
        return default_optimizations(self.device) if self.optimizations is None else self.optimizations


FEW_STEPS = 4


def few_step_sampling() -> Sampling:
    """Return the sampling that SDXL-Lightning's four-step adapter was trained for."""
    return Sampling(FEW_STEPS, Sampler.EULER, trailing=True)
