"""Recognize the faces of children, so that the photo rules can refuse them.

The network is dlib's age predictor (ResNet-10, trained with about 110,000 labeled faces, public domain). It gives one
probability per year from 0 to 80. Only the sum of the years below CHILD_YEARS is used, and no age is stored or shown.
"""

from pathlib import Path

import numpy as np

from pipeline.errors import WeightsError
from pipeline.faces.dlib_alignment import surroundings
from pipeline.faces.onnx_network import open_network
from pipeline.types import Face, Pixels

CHIP_PX, YEARS = 64, 81
# dlib's default margin of an aligned face. The network was trained with it.
PADDING = 0.2
# Means of red, green and blue that the network expects to be subtracted, and its scale of values.
MEAN = np.array([122.782, 117.001, 104.298], np.float32)
SCALE = 1 / 256
# Faces of teenagers and young adults are too much alike for a sure answer.
CHILD_YEARS = 13


class AgeNetwork:
    """dlib's age predictor on the CPU. Safe to share between threads.

    Raises WeightsError if the file is not the expected network."""

    def __init__(self, path: Path) -> None:
        self._network = open_network(path)
        if self._network.get_outputs()[0].shape[-1] != YEARS:
            raise WeightsError(f"{path} does not produce {YEARS} probabilities.")
        self._input = self._network.get_inputs()[0].name

    def child_share(self, pixels: Pixels, face: Face) -> float:
        """Return the probability that a face is that of a child below CHILD_YEARS, 0..1.

        The mean of the face and its mirror image."""
        import dlib

        region, shape = surroundings(pixels, face)
        chip = dlib.extract_image_chip(region, dlib.get_face_chip_details(shape, CHIP_PX, PADDING))
        values = (chip.astype(np.float32) - MEAN) * SCALE
        both = np.stack([values, values[:, ::-1]]).transpose(0, 3, 1, 2)
        probabilities = self._network.run(None, {self._input: np.ascontiguousarray(both)})[0]
        return float(probabilities[:, :CHILD_YEARS].sum(axis=1).mean())
