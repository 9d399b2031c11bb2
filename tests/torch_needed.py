"""One place that decides whether the tests that need torch can run, and says what would enable them."""

import importlib.util

import pytest

NEEDED = ("torch", "diffusers", "transformers", "accelerate", "safetensors")
COMMAND = "python -m pip install torch==2.13.0 && python -m pip install '.[gpu]'"


def require_torch(*more: str) -> None:
    """Skips the calling test module where torch, diffusers or one of these packages is not installed."""
    missing = [name for name in (*NEEDED, *more) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; enable with: {COMMAND}", allow_module_level=True)
