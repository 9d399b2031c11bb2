"""Options of the InstantID engine that an operator can set, and the weights that they require.

Imports no heavy packages.
"""

from dataclasses import dataclass

from pipeline.diffusion.optimizations import Optimization, change_optimizations, default_optimizations
from pipeline.engines.instantid.config import InstantIDConfig, Proportions, Sampler, Sampling, WeightFiles
from pipeline.errors import EngineUnavailable
from pipeline.weights import Weights

# All weights except the checkpoint. InstantID counts as installed once this group was fetched completely.
PARTS_GROUP = "instantid_parts"
CHECKPOINTS_GROUP = "checkpoints"
FEW_STEP_WEIGHT = "sdxl_lightning_4step"
MIN_CANVAS_PIXELS = 64 * 64


@dataclass(frozen=True)
class InstantIDOptions:
    """Options of the InstantID engine that an operator can set.

    Attributes:
        checkpoint: name of a weight in the catalog's group `checkpoints`.
        device: cuda, cuda:N or cpu. The engine never falls back to the CPU.
        optimizations: changes to the default optimizations, such as `+fp8` or `-compile`.
        sampler: name of the sampler. Empty selects the one that the catalog recommends for the checkpoint. The
            optimization few_step uses its own sampler and steps.
        steps: number of denoising steps. 0 selects the number that the catalog recommends.
        canvas_pixels: approximate pixel count of a picture before it is enlarged.
        max_batch: largest number of pictures per batch. Limited memory can reduce it.
        proportions: source of the proportions in which faces are drawn, `person` or `template`.
    """

    checkpoint: str = "realvisxl"
    device: str = "cuda"
    optimizations: tuple[str, ...] = ()
    sampler: str = ""
    steps: int = 0
    canvas_pixels: int = 896 * 1152
    max_batch: int = 10
    proportions: str = Proportions.PERSON

    @property
    def chosen_optimizations(self) -> frozenset[Optimization]:
        """Return the default optimizations with the operator's changes applied.

        Raises ValueError for an unknown name or contradicting optimizations."""
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
        if self.sampler and self.sampler not in set(Sampler):
            return f"HEADSHOTS_INSTANTID_SAMPLER is {self.sampler!r}, but must be one of: {', '.join(Sampler)}."
        if self.proportions not in set(Proportions):
            return f"HEADSHOTS_INSTANTID_PROPORTIONS is {self.proportions!r}, but must be person or template."
        if self.steps < 0 or self.max_batch < 1 or self.canvas_pixels < MIN_CANVAS_PIXELS:
            return (
                "HEADSHOTS_INSTANTID_STEPS must not be negative, HEADSHOTS_INSTANTID_MAX_BATCH must be at least 1, and "
                f"HEADSHOTS_INSTANTID_CANVAS_PIXELS at least {MIN_CANVAS_PIXELS}."
            )
        return None


def needed_weights(weights: Weights, options: InstantIDOptions) -> tuple[str, ...]:
    """Return the names of the weights that an engine with these options loads.

    Raises EngineUnavailable if the checkpoint is unknown."""
    known = weights.catalog.groups.get(CHECKPOINTS_GROUP, ())
    if options.checkpoint not in known:
        raise EngineUnavailable(
            f"There is no checkpoint called {options.checkpoint!r}; known: {', '.join(known)} "
            "(HEADSHOTS_INSTANTID_CHECKPOINT)."
        )
    few_step = (FEW_STEP_WEIGHT,) if Optimization.FEW_STEP in options.chosen_optimizations else ()
    return (options.checkpoint, *weights.catalog.groups[PARTS_GROUP], *few_step)


def choose_sampling(weights: Weights, options: InstantIDOptions) -> Sampling:
    """Return the sampler and the number of steps.

    The operator's choice comes first, then the catalog's advice for the checkpoint, then Euler with 30 steps.
    Raises EngineUnavailable if the catalog names an unknown sampler."""
    advice, usual = weights.catalog.weights[options.checkpoint].samplers, Sampling()
    name = options.sampler or next(iter(advice), usual.sampler)
    if name not in set(Sampler):
        raise EngineUnavailable(
            f"The catalog names the sampler {name!r} for {options.checkpoint}; known: {', '.join(Sampler)}."
        )
    return Sampling(options.steps or advice.get(name, usual.steps), Sampler(name))


def build_config(weights: Weights, options: InstantIDOptions) -> InstantIDConfig:
    """Verify all files, and build the engine's configuration.

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
        sampling=choose_sampling(weights, options),
        optimizations=options.chosen_optimizations,
        max_batch=options.max_batch,
        canvas_pixels=options.canvas_pixels,
        proportions=Proportions(options.proportions),
    )
