"""One embedding of one person out of several photos."""

from collections.abc import Sequence

import numpy as np

from pipeline.types import Embedding


def fuse(embeddings: Sequence[Embedding], qualities: Sequence[float]) -> Embedding:
    """The person's template: (N,) float32 of as many (N,) embeddings; of a single one itself, unchanged.

    Its direction is the quality-weighted mean of the normalised embeddings. A mean is shorter than what it is made
    of, and distances (dlib) as well as the generator (InstantID) care about length, so it is stretched to their
    weighted mean length. qualities: above 0. Raises ValueError without an embedding."""
    if not embeddings:
        raise ValueError("no embedding to fuse")
    if len(embeddings) == 1:
        return embeddings[0]
    stacked = np.stack(embeddings).astype(np.float64)
    lengths = np.linalg.norm(stacked, axis=1)
    mean = np.average(stacked / lengths[:, None], axis=0, weights=qualities)
    fused: Embedding = (mean / np.linalg.norm(mean) * np.average(lengths, weights=qualities)).astype(np.float32)
    return fused
