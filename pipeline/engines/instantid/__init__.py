"""New pictures of a person: SDXL, guided by a face embedding and five key points (InstantID).

This module, `config` and `looks` import no heavy package; everything else needs torch and diffusers, so ask
`missing_packages` before you import `engine`.
"""

import importlib.util

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "insightface", "onnx", "onnxruntime")


def missing_packages() -> tuple[str, ...]:
    """The packages of the extra `gpu` that this engine needs and this environment lacks."""
    return tuple(name for name in PACKAGES if importlib.util.find_spec(name) is None)
