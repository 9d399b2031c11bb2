"""The InstantID engine generates new pictures with SDXL, guided by a face embedding and five facial keypoints.

This module, `config`, `options` and `looks` import no heavy packages. Most other modules need torch and diffusers. Call
`missing_packages` before importing `engine`.
"""

import importlib.util
import logging

# On import, transformers recommends torchvision, which nothing here uses.
logging.getLogger("transformers.utils.import_utils").setLevel(logging.ERROR)

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "insightface", "onnx", "onnxruntime")


def missing_packages(needed: tuple[str, ...] = PACKAGES) -> tuple[str, ...]:
    """Return the packages that are not installed.

    The extra `gpu` installs all default packages."""
    return tuple(name for name in needed if importlib.util.find_spec(name) is None)
