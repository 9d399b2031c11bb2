"""Pickles turned once into safetensors, by the code that later reads them. torch is loaded here and only here."""

from collections.abc import Callable
from pathlib import Path

from pipeline.errors import WeightsError


def convert_adapter(source: Path, target: Path) -> None:
    """InstantID's ip-adapter.bin. Raises WeightsError."""
    _require_torch()
    from pipeline.engines.instantid.adapter import convert_adapter as convert

    convert(source, target)


def convert_upscaler(source: Path, target: Path) -> None:
    """Real-ESRGAN's checkpoint: the averaged weights, `params_ema`. Raises WeightsError."""
    _require_torch()
    from pipeline.rrdbnet import convert_checkpoint

    convert_checkpoint(source, target)


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
