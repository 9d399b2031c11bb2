"""One place that decides whether the tests that need torch can run, and says what would enable them."""

import importlib.util
import os

import pytest

from headshots.launch.gpu import COMMAND

NEEDED = ("torch", "diffusers", "transformers", "accelerate", "safetensors")


def require_torch(*more: str) -> None:
    """Skips the calling test module where torch, diffusers or one of these packages is not installed."""
    require(*NEEDED, *more)
    import torch

    # Networks of some thousand weights: threads that wait for one another take ten times the work's own time as soon
    # as the cores are shared with anything else.
    torch.set_num_threads(1)


def require(*names: str) -> None:
    """Skips the calling test module where a package of the extra `gpu` is not installed.

    Fails instead where HEADSHOTS_REQUIRE_TORCH says that nothing may be skipped."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if not missing:
        return
    reason = f"needs {', '.join(missing)}; enable with: {COMMAND}"
    if os.environ.get("HEADSHOTS_REQUIRE_TORCH"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)
