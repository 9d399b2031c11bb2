"""Convert pickled checkpoints to safetensors once, after the download.

The conversion needs torch, which no other step of a fetch loads.
"""

import pickle
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import WeightsError

# The two groups of tensors in InstantID's adapter.
PARTS = ("image_proj", "ip_adapter")


def convert_adapter(source: Path, target: Path) -> None:
    """Convert InstantID's ip-adapter.bin to safetensors (`image_proj.NAME`, `ip_adapter.NAME`). Writes atomically.

    Never executes code from the pickle: only tensors and plain containers are loaded. Raises WeightsError."""
    _require_torch()
    import torch
    from safetensors.torch import save_file

    try:
        parts = torch.load(source, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise WeightsError(f"The adapter {source} cannot be read: {first_line(error)}") from error
    tensors: dict[str, torch.Tensor] = {}
    for part in PARTS:
        if not isinstance(parts, dict) or not isinstance(parts.get(part), dict):
            raise WeightsError(f"The adapter {source} has no part {part}.")
        tensors.update({f"{part}.{name}": tensor.contiguous() for name, tensor in parts[part].items()})
    staging = target.with_name(f"{target.name}.part")
    save_file(tensors, staging)
    staging.replace(target)


def convert_upscaler(source: Path, target: Path) -> None:
    """Convert the averaged weights (`params_ema`) of Real-ESRGAN's .pth file to safetensors. Writes atomically.

    Never executes code from the pickle. Raises WeightsError."""
    _require_torch()
    import torch
    from safetensors.torch import save_file

    try:
        parts = torch.load(source, map_location="cpu", weights_only=True)
        tensors = {name: tensor.contiguous() for name, tensor in parts["params_ema"].items()}
        staging = target.with_name(f"{target.name}.part")
        save_file(tensors, staging)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{source} holds no checkpoint of Real-ESRGAN: {first_line(error)}") from error
    staging.replace(target)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class name if the message is empty."""
    return (str(error) or type(error).__name__).splitlines()[0]


def _require_torch() -> None:
    try:
        import safetensors
        import torch  # noqa: F401
    except ImportError as error:
        raise WeightsError(
            f"The file has to be converted once, which needs the package {error.name}. "
            "Fix: python -m pip install torch==2.13.0 '.[gpu]'"
        ) from error
    assert safetensors


CONVERTERS: dict[str, Callable[[Path, Path], None]] = {"adapter": convert_adapter, "upscaler": convert_upscaler}
