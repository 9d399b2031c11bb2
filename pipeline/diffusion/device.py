"""Check that the installed torch can use the GPU, and choose how the networks are placed in its memory.

`python -m pipeline.diffusion.device cuda` fails with the reason if it cannot."""

import sys
from collections.abc import Sequence

import torch

from pipeline.diffusion.memory import MemoryMode, memory_mode
from pipeline.diffusion.optimizations import Optimization, capability_fault
from pipeline.errors import EngineUnavailable

OTHER_BUILD = (
    "set HEADSHOTS_TORCH_INDEX to a package index with a build for this machine, and run "
    "`python3 run.py --engine instantid`"
)
STUDIO = "set HEADSHOTS_ENGINE=studio"


def choose_mode(device: str, optimizations: frozenset[Optimization] = frozenset()) -> MemoryMode:
    """Choose the memory mode for the device.

    Raises EngineUnavailable if the device cannot run the networks."""
    if device == "cpu":
        return MemoryMode.RESIDENT
    if not torch.cuda.is_available():
        raise EngineUnavailable(missing_cuda())
    count = torch.cuda.device_count()
    if (torch.device(device).index or 0) >= count:
        raise EngineUnavailable(f"There is no GPU {device}: torch finds {count}, numbered from cuda:0.")
    properties = torch.cuda.get_device_properties(device)
    capability = (properties.major, properties.minor)
    architectures = torch.cuda.get_arch_list()
    if not has_kernels(capability, architectures):
        raise EngineUnavailable(
            f"The {properties.name} has compute capability {capability[0]}.{capability[1]}, but torch "
            f"{torch.__version__} is built for {', '.join(architectures)} only. Fix: use a newer GPU, or {OTHER_BUILD}."
        )
    if fault := capability_fault(optimizations, properties.name, capability):
        raise EngineUnavailable(fault)
    return memory_mode(properties.total_memory)


def missing_cuda() -> str:
    """Explain in one line why torch cannot use CUDA, in torch's words if they are about this machine."""
    needs = "The InstantID engine needs an NVIDIA GPU, but"
    if torch.version.cuda is None:
        return f"{needs} torch {torch.__version__} is built without CUDA. Fix: {OTHER_BUILD}, or {STUDIO}."
    try:
        torch.cuda.init()
        reason = "no reason given"
    except (AssertionError, RuntimeError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0].split(". ")[0].removesuffix(".")
    fix = f"update the NVIDIA driver, or {OTHER_BUILD}" if "too old" in reason else "check the output of nvidia-smi"
    built = f"torch {torch.__version__} (CUDA {torch.version.cuda})"
    return f"{needs} {built} cannot use one: {reason}. Fix: {fix}, or {STUDIO}."


def has_kernels(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Return True if a build of torch for these architectures can run on a GPU of this compute capability.

    `sm_86` is machine code for capability 8.6 and later ones of the same generation. `compute_90` can be translated for
    any later GPU. Unknown architectures, as in a build that lists none, count as suitable."""
    for architecture in architectures:
        kind, _, digits = architecture.partition("_")
        built = divmod(int("".join(filter(str.isdigit, digits)) or 0), 10)
        if (kind == "compute" or built[0] == capability[0]) and built <= capability:
            return True
    return not architectures


if __name__ == "__main__":
    try:
        choose_mode(sys.argv[1])
    except EngineUnavailable as error:
        sys.exit(str(error))
