"""Check what the networks produce: finite values, and a face where the key points put it."""

import numpy as np
import torch
from torch import Tensor

from pipeline.engines.instantid.poses import Keypoints
from pipeline.errors import NumericalError


def require_finite(values: Tensor, name: str) -> None:
    """Raise NumericalError if a tensor contains NaN or infinity.

    Without this check such a picture would turn black, and be rejected because it shows no face. name: of the values,
    as the first words of the message."""
    if not bool(torch.isfinite(values).all()):
        raise NumericalError(
            f"{name}: some values are NaN or infinite. "
            "Fix: turn off lossy optimizations (fp8, int8, half_vae), and check the weights with `run.py doctor`."
        )


def feature_offset(wanted: Keypoints, found: Keypoints) -> float:
    """Return how far eyes and mouth are from their key points, in eye distances.

    This is the largest distance among the four points. The nose is left out, because detectors disagree about it."""
    eyes_and_mouth = [0, 1, 3, 4]
    distances = np.linalg.norm(wanted - found, axis=1)[eyes_and_mouth]
    return float(distances.max() / np.linalg.norm(wanted[1] - wanted[0]))
