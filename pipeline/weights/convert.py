"""Convert pickled checkpoints to safetensors once, after the download.

The conversion needs torch, which no other step of a fetch loads.
"""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

# The two groups of tensors in InstantID's adapter.
PARTS = ("image_proj", "ip_adapter")


def convert_adapter(source: Path, target: Path) -> None:
    """Convert InstantID's ip-adapter.bin to safetensors (`image_proj.NAME`, `ip_adapter.NAME`). Writes atomically.

    Never executes code from the pickle: only tensors and plain containers are loaded. Raises WeightsError."""
    try:
        parts = load_pickle(source)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise WeightsError(f"The adapter {source} cannot be read: {first_line(error)}") from error
    tensors: dict[str, object] = {}
    for part in PARTS:
        if not isinstance(parts, dict) or not isinstance(parts.get(part), dict):
            raise WeightsError(f"The adapter {source} has no part {part}.")
        tensors.update({f"{part}.{name}": tensor for name, tensor in parts[part].items()})
    try:
        save_tensors(tensors, target)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise WeightsError(f"The adapter {source} has unexpected content: {first_line(error)}") from error


def convert_upscaler(source: Path, target: Path) -> None:
    """Convert the averaged weights (`params_ema`) of Real-ESRGAN's .pth file to safetensors. Writes atomically.

    Never executes code from the pickle. Raises WeightsError."""
    try:
        save_tensors(load_pickle(source)["params_ema"], target)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{source} holds no checkpoint of Real-ESRGAN: {first_line(error)}") from error


def load_pickle(source: Path) -> dict[str, dict[str, object]]:
    """Load a file that torch saved. Never executes code from it: only tensors and plain containers are loaded.

    Maps the file into memory, except for torch's format before version 1.6, which is no ZIP archive."""
    _require_torch()
    import torch

    parts: dict[str, dict[str, object]] = torch.load(
        source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source)
    )
    return parts


def save_tensors(tensors: Mapping[str, object], target: Path) -> None:
    """Save tensors as safetensors. Writes atomically.

    Raises TypeError if a value is not a tensor."""
    import torch
    from safetensors.torch import save_file

    own: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} is not a tensor")
        whole = tensor.detach().contiguous()
        # A part of a larger storage is copied, because safetensors refuses tensors that share memory.
        own[name] = whole.clone() if whole.untyped_storage().nbytes() > whole.nbytes else whole
    staging = target.with_name(f"{target.name}.part")
    save_file(own, staging)
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
