"""The operator's options for the engine, and the weights that they need. Imports no heavy package."""

from dataclasses import dataclass

from pipeline.diffusion.optimizations import Optimization, change_optimizations, default_optimizations
from pipeline.engines.instantid.config import InstantIDConfig, Sampling, WeightFiles
from pipeline.errors import EngineUnavailable
from pipeline.weights import Weights

# All weights but the checkpoint. The engine counts as installed once this group was fetched completely.
PARTS_GROUP = "instantid_parts"
CHECKPOINTS_GROUP = "checkpoints"
FEW_STEP_WEIGHT = "sdxl_lightning_4step"
MIN_CANVAS_PIXELS = 64 * 64


@dataclass(frozen=True)
class InstantIDOptions:
    """The operator's choices for the engine.

    Attributes:
        checkpoint: name of a weight in the catalog's group `checkpoints`.
        device: cuda, cuda:N or cpu. The CPU is never a fallback.
        optimizations: changes to the lossless default, such as `+fp8` or `-compile`.
        steps: number of denoising steps, unless the optimization few_step sets its own.
        canvas_pixels: approximate pixel count of a picture before it is enlarged.
        max_batch: most pictures at once. Memory can lower the number.
    """

    checkpoint: str = "realvisxl"
    device: str = "cuda"
    optimizations: tuple[str, ...] = ()
    steps: int = 30
    canvas_pixels: int = 896 * 1152
    max_batch: int = 10

    @property
    def chosen_optimizations(self) -> frozenset[Optimization]:
        """Return the default optimizations with the changes applied.

        Raises ValueError for an unknown name or a contradiction."""
        return change_optimizations(default_optimizations(self.device), self.optimizations)

    @property
    def fault(self) -> str | None:
        """Return one sentence about the first invalid option, or None."""
        if self.device != "cpu" and self.device != "cuda" and not self.device.removeprefix("cuda:").isdecimal():
            return f"HEADSHOTS_INSTANTID_DEVICE is {self.device!r}, but must be cuda, cuda:N or cpu."
        try:
            self.chosen_optimizations  # noqa: B018 - asked for what it raises
        except ValueError as error:
            return f"HEADSHOTS_INSTANTID_OPTIMIZATIONS: {error}."
        if self.steps < 1 or self.max_batch < 1 or self.canvas_pixels < MIN_CANVAS_PIXELS:
            return (
                "HEADSHOTS_INSTANTID_STEPS and HEADSHOTS_INSTANTID_MAX_BATCH must be at least 1, and "
                f"HEADSHOTS_INSTANTID_CANVAS_PIXELS at least {MIN_CANVAS_PIXELS}."
            )
        return None


def needed_weights(weights: Weights, options: InstantIDOptions) -> tuple[str, ...]:
    """Return the names of the weights that an engine with these options loads.

    Raises EngineUnavailable for an unknown checkpoint."""
    known = weights.catalog.groups.get(CHECKPOINTS_GROUP, ())
    if options.checkpoint not in known:
        raise EngineUnavailable(
            f"There is no checkpoint called {options.checkpoint!r}; known: {', '.join(known)} "
            "(HEADSHOTS_INSTANTID_CHECKPOINT)."
        )
    few_step = (FEW_STEP_WEIGHT,) if Optimization.FEW_STEP in options.chosen_optimizations else ()
    return (options.checkpoint, *weights.catalog.groups[PARTS_GROUP], *few_step)


def build_config(weights: Weights, options: InstantIDOptions) -> InstantIDConfig:
    """Build the engine's configuration and verify every file.

    Raises WeightsError or EngineUnavailable."""
    if options.fault:
        raise EngineUnavailable(options.fault)
    paths = {name: weights.path(name) for name in needed_weights(weights, options)}
    base = paths[options.checkpoint]
    files = WeightFiles(
        base=base,
        controlnet=paths["instantid_controlnet"],
        adapter=paths["instantid_adapter"],
        faces=paths["antelopev2"],
        base_configs=None if base.is_dir() else paths["sdxl_configs"],
        vae=paths["sdxl_vae"],
        upscaler=paths["realesrgan_full"],
        lora=paths.get(FEW_STEP_WEIGHT),
    )
    return InstantIDConfig(
        weights=files,
        device=options.device,
        sampling=Sampling(options.steps),
        optimizations=options.chosen_optimizations,
        max_batch=options.max_batch,
        canvas_pixels=options.canvas_pixels,
    )
