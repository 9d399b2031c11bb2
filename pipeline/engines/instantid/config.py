"""Configuration of the InstantID engine: weights, device and sampling. Imports no heavy packages."""

from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from pipeline.diffusion.optimizations import Optimization, default_optimizations


class Sampler(StrEnum):
    """The diffusers scheduler used for denoising. Each runs the networks once per step.

    EULER and DPMPP_2M_KARRAS add no noise. DPMPP_SDE_KARRAS adds noise in every step."""

    EULER = "euler"
    DPMPP_2M_KARRAS = "dpmpp_2m_karras"
    DPMPP_SDE_KARRAS = "dpmpp_sde_karras"


class Proportions(StrEnum):
    """The source of the proportions in which faces are drawn.

    Attributes:
        PERSON: the person's own nearly frontal photos. Without any, the human average.
        TEMPLATE: insightface's alignment template, for everyone.
    """

    PERSON = "person"
    TEMPLATE = "template"


@dataclass(frozen=True)
class Sampling:
    """The sampler and its number of denoising steps.

    Attributes:
        steps: number of denoising steps, each one pass of the networks.
        sampler: scheduler of diffusers.
        trailing: True to start at the last timestep, as few-step adapters were trained.
    """

    steps: int = 30
    sampler: Sampler = Sampler.EULER
    trailing: bool = False


@dataclass(frozen=True)
class WeightFiles:
    """Paths of the engine's weights.

    Attributes:
        base: SDXL, as a folder in diffusers' layout or as one .safetensors file. A file also needs `base_configs`.
        controlnet: folder with config.json and diffusion_pytorch_model.safetensors.
        adapter: ip-adapter.safetensors, see `weights.convert`.
        faces: folder with insightface's detection and recognition networks.
        base_configs: folder with SDXL's configs and tokenizers.
        vae: folder of a VAE that replaces the one in `base`.
        upscaler: x4 RRDBNet as .safetensors. Without an upscaler, pictures can be at most 1.1 times as large as the
            canvas.
        lora: few-step adapter as .safetensors. Required by the optimization `few_step`.
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
        """Return one sentence for each file or folder that does not exist.

        Does not check the content. Loading does."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return tuple(f"{path} ({name}) is missing." for name, path in named.items() if path and not path.exists())


@dataclass(frozen=True)
class InstantIDConfig:
    """The configuration of an InstantID engine.

    Attributes:
        weights: paths of the weights.
        device: cuda, cuda:N or cpu. There is no fallback: without CUDA the engine starts only if this is `cpu`.
        sampling: sampler and number of steps.
        optimizations: optimizations to apply. None selects the default ones of the device.
        max_batch: largest number of pictures per batch.
        canvas_pixels: approximate pixel count of a picture before it is enlarged.
        proportions: source of the proportions in which faces are drawn.
    """

    weights: WeightFiles
    device: str = "cuda"
    sampling: Sampling = Sampling()
    optimizations: frozenset[Optimization] | None = None
    max_batch: int = 10
    # About the pixel count that SDXL was trained for. 1024 x 1024 is avoided because SDXL adds stock photo watermarks
    # at exactly that size (published).
    canvas_pixels: int = 896 * 1152
    proportions: Proportions = Proportions.PERSON

    @property
    def chosen_optimizations(self) -> frozenset[Optimization]:
        return default_optimizations(self.device) if self.optimizations is None else self.optimizations


FEW_STEPS = 4


def few_step_sampling() -> Sampling:
    """Return the sampling that SDXL-Lightning's four-step adapter was trained for."""
    return Sampling(FEW_STEPS, Sampler.EULER, trailing=True)
