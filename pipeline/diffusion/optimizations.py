"""Names, defaults and requirements of the optimizations of the diffusion engines.

Lossless optimizations compute the same result in another order. In fp32 the picture does not change, and the parity
test proves it. Lossy optimizations render a different picture faster and are off by default. Half precision on a GPU
does not count as an optimization, because the reference uses it too.

The engine's `networks/bundle.py` applies the optimizations that change the networks once, after loading. Its
`denoise.py` applies the optimizations that change a denoising step.
"""

import shutil
import sysconfig
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path


class Optimization(StrEnum):
    """An optimization, named as in commands and settings."""

    # Lossless
    CHANNELS_LAST = "channels_last"
    FLASH_ATTENTION = "flash_attention"
    CACHED_CONDITION = "cached_condition"
    CACHED_KEYS = "cached_keys"
    FUSED_QKV = "fused_qkv"
    SKIP_IDLE = "skip_idle"
    CUDNN_SEARCH = "cudnn_search"
    COMPILE = "compile"
    CUDA_GRAPHS = "cuda_graphs"
    # Lossy
    FP8 = "fp8"
    INT8 = "int8"
    HALF_VAE = "half_vae"
    GUIDANCE_CUTOFF = "guidance_cutoff"
    CONTROL_CUTOFF = "control_cutoff"
    FEW_STEP = "few_step"

    @property
    def lossless(self) -> bool:
        return self in LOSSLESS

    @property
    def explanation(self) -> str:
        """Return one sentence that explains the optimization."""
        return EXPLANATIONS[self]


EXPLANATIONS = {
    Optimization.CHANNELS_LAST: "Stores pictures with channels last in memory, as tensor cores prefer.",
    Optimization.FLASH_ATTENTION: "Uses torch's fused attention kernels instead of three separate operations.",
    Optimization.CACHED_CONDITION: "Embeds the key point image once per picture instead of twice per step.",
    Optimization.CACHED_KEYS: "Projects text and face tokens to keys and values once per picture, not per step.",
    Optimization.FUSED_QKV: "Combines the three matrix products of a self-attention layer into one.",
    Optimization.SKIP_IDLE: "Skips the ControlNet if its scale is 0, and the unconditional half if the guidance is 1.",
    Optimization.CUDNN_SEARCH: "Lets cuDNN choose the fastest convolution for each shape.",
    Optimization.COMPILE: "Compiles the networks for one batch size with torch.compile.",
    Optimization.CUDA_GRAPHS: "Replays recorded CUDA graphs. Needs `compile`, and helps only with small batches.",
    Optimization.FP8: "Runs the transformers' matrix products in 8-bit floats (compute capability 8.9 or higher).",
    Optimization.INT8: "Runs the transformers' matrix products in 8-bit integers, for GPUs without fp8.",
    Optimization.HALF_VAE: "Decodes in half precision even with a VAE that requests full precision.",
    Optimization.GUIDANCE_CUTOFF: "Drops classifier-free guidance after 60% of the steps.",
    Optimization.CONTROL_CUTOFF: "Drops the ControlNet after 60% of the steps.",
    Optimization.FEW_STEP: "Renders in four steps without guidance, with a distilled adapter (SDXL-Lightning).",
}
LOSSY = frozenset(
    {
        Optimization.FP8,
        Optimization.INT8,
        Optimization.HALF_VAE,
        Optimization.GUIDANCE_CUTOFF,
        Optimization.CONTROL_CUTOFF,
        Optimization.FEW_STEP,
    }
)
LOSSLESS = frozenset(Optimization) - LOSSY
# Compiling pays off after a few hundred steps. CUDA graphs do not pay off if a step takes a quarter of a second.
_NOT_BY_DEFAULT_ON_CUDA = frozenset({Optimization.CUDA_GRAPHS})
_FOR_CUDA_ONLY = frozenset({Optimization.COMPILE, Optimization.CUDA_GRAPHS, Optimization.CUDNN_SEARCH})
FP8_CAPABILITY = (8, 9)
# Fraction of the steps after which the cutoff optimizations skip their part.
CUTOFF = 0.6


def default_optimizations(device: str) -> frozenset[Optimization]:
    """Return the lossless optimizations that pay off on this kind of device."""
    return LOSSLESS - (_NOT_BY_DEFAULT_ON_CUDA if device.startswith("cuda") else _FOR_CUDA_ONLY)


def change_optimizations(optimizations: frozenset[Optimization], changes: Iterable[str]) -> frozenset[Optimization]:
    """Apply changes such as `+fp8` and `-compile` to a set of optimizations.

    Raises ValueError for any other change, and for fp8 together with int8."""
    for change in changes:
        sign, name = change[:1], change[1:]
        if sign not in "+-" or name not in set(Optimization):
            known = ", ".join(Optimization)
            raise ValueError(f"{change!r} is not a +optimization or -optimization; known optimizations: {known}")
        optimizations = optimizations | {Optimization(name)} if sign == "+" else optimizations - {Optimization(name)}
    if optimizations >= {Optimization.FP8, Optimization.INT8}:
        raise ValueError("fp8 and int8 can't be used together; choose one")
    return optimizations


def capability_fault(optimizations: frozenset[Optimization], gpu: str, capability: tuple[int, int]) -> str | None:
    """Explain why this GPU cannot run the optimizations, or return None."""
    if Optimization.FP8 not in optimizations or capability >= FP8_CAPABILITY:
        return None
    has, needs = (".".join(map(str, each)) for each in (capability, FP8_CAPABILITY))
    return (
        f"The optimization fp8 needs a GPU of compute capability {needs} (Ada, Hopper or later), but the {gpu} has "
        f"{has}. Fix: remove it, or use +int8 instead."
    )


def compiler_fault(optimizations: frozenset[Optimization], header: Path | None = None) -> str | None:
    """Explain why torch cannot compile the networks on this machine, or return None.

    Also returns None if compiling is not selected. header: path of Python.h, by default that of the running Python."""
    if Optimization.COMPILE not in optimizations:
        return None
    header = header or Path(sysconfig.get_path("include")) / "Python.h"
    lacks = [] if shutil.which("gcc") or shutil.which("clang") else ["a C compiler"]
    lacks += [] if header.is_file() else [f"Python's headers ({header})"]
    if not lacks:
        return None
    return (
        f"The networks are not compiled, because this machine lacks {' and '.join(lacks)}. Pictures are the same, but "
        "take longer. Fix: install gcc and python3-dev."
    )
