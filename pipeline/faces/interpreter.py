"""Run a small tflite network on the CPU."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class TfliteNetwork:
    """A tflite network with one input. Not thread-safe.

    The input is (H, W, 3) float32. The outputs are (N, D) or (D,) float32, the largest last dimension first."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = sorted(self._interpreter.get_output_details(), key=lambda output: -output["shape"][-1])
        self._outputs = [output["index"] for output in outputs]

    def run(self, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Run the network on one picture. Returns the outputs without the batch dimension."""
        self._interpreter.set_tensor(self._input, values[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]
