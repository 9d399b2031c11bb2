"""The InstantID engine: new pictures with SDXL, guided by a face embedding and five key points.

This module, `config` and `looks` import no heavy package; everything else needs torch and diffusers, so ask
`missing_packages` before you import `engine`.
"""

import importlib.util
import logging

# When it is imported, transformers advises to install torchvision, which nothing here uses.
logging.getLogger("transformers.utils.import_utils").setLevel(logging.ERROR)

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "insightface", "onnx", "onnxruntime")


def missing_packages(needed: tuple[str, ...] = PACKAGES) -> tuple[str, ...]:
    """Those of the packages, all in the extra `gpu`, that this environment lacks."""
    return tuple(name for name in needed if importlib.util.find_spec(name) is None)
