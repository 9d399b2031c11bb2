"""Open a network in ONNX format for the CPU."""

from pathlib import Path
from typing import Any

from pipeline.errors import WeightsError


def open_network(path: Path) -> Any:
    """Return the onnxruntime session of a network, with one thread.

    The engine and other threads need the remaining cores. Raises WeightsError if the file cannot be loaded."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no public base class for its errors
        raise WeightsError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from error
