"""Configuration of the engine: weights, device, sampling. Imports nothing heavy."""

from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from pipeline.diffusion.optimizations import Optimization, default_optimizations


class Sampler(StrEnum):
    """Which of diffusers' schedulers walks from noise to picture."""

    EULER = "euler"
    DPMPP_2M_KARRAS = "dpmpp_2m_karras"


@dataclass(frozen=True)
class Sampling:
    """How many steps of which sampler. `trailing` starts at the last timestep, as few-step adapters were trained."""

    steps: int = 30
    sampler: Sampler = Sampler.EULER
    trailing: bool = False


@dataclass(frozen=True)
class WeightFiles:
    """Where the weights lie.

    base        SDXL: a folder in diffusers' layout, or one .safetensors file; the latter needs `base_configs`
    controlnet  folder with config.json and diffusion_pytorch_model.safetensors
    adapter     ip-adapter.safetensors, see `weights.convert`
    faces       folder with insightface's detection and recognition networks
    vae         folder of a VAE that replaces the base's own
    upscaler    x4 RRDBNet as .safetensors; None: no picture may be larger than the canvas
    lora        few-step distillation as .safetensors; needed by the optimization `few_step`
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
        """One sentence for each file or folder that is not there. Costs nothing; loading checks what is in them."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return tuple(f"{path} ({name}) is missing." for name, path in named.items() if path and not path.exists())


@dataclass(frozen=True)
class InstantIDConfig:
    """One engine. `device` is never guessed: without CUDA the engine refuses to start unless `cpu` is asked for."""

    weights: WeightFiles
    device: str = "cuda"
    sampling: Sampling = Sampling()
    optimizations: frozenset[Optimization] | None = None
    max_batch: int = 10
    # SDXL's own scale. Exactly 1024 x 1024 is avoided: it makes stock photo watermarks appear (published).
    canvas_pixels: int = 896 * 1152

    @property
    def chosen_optimizations(self) -> frozenset[Optimization]:
        return default_optimizations(self.device) if self.optimizations is None else self.optimizations


FEW_STEPS = 4


def few_step_sampling() -> Sampling:
    """The steps that SDXL-Lightning's four-step adapter was trained for."""
    return Sampling(FEW_STEPS, Sampler.EULER, trailing=True)
