"""Write networks in the file format of MNN, and run them.

MNN's converter is not used: it reads only files and prints to the standard output, and its Python package (`MNN.tools`)
installs other packages and reports its use over the network when it is imported. The format is a FlatBuffer. Its schema
is MNN's schema/default/MNN.fbs, in which the order of the fields gives their numbers.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import WeightsError

# Numbers in the schema: (type of the operator, type of its parameters).
BINARY, CONCAT, CONST, CONVOLUTION = (7, 6), (10, 4), (11, 7), (12, 9)
INPUT, RESIZE, LEAKY_RELU, CONVERT = (34, 21), (35, 22), (69, 51), (129, 66)
ADD, MULTIPLY = 0, 2
# Memory layouts: (1, C, H, W), and groups of channels, which MNN computes with.
PLANES, GROUPS = 0, 2
NEAREST, ASYMMETRIC = 1, 4
FLOAT = 1
CHANNEL_AXIS = 1
ANY_LENGTH = -1
FEATURES, RESULT = "features", "result"

# The line about the processor that the library prints when it is loaded.
PROCESSOR_LINE = b"The device supports:"
_importing = threading.Lock()


class MnnFile:
    """Builder of a network with one input (1, C, H, W) of any size. Methods return the number of the result."""

    def __init__(self, channels: int) -> None:
        import flatbuffers

        self._builder = flatbuffers.Builder(1 << 20)
        self._names: list[str] = []
        self._operators: list[int] = []
        dims = self._builder.CreateNumpyVector(np.array([1, channels, ANY_LENGTH, ANY_LENGTH], np.int32))
        self._builder.StartObject(3)
        self._builder.PrependUOffsetTRelativeSlot(0, dims, 0)
        self._builder.PrependInt32Slot(1, FLOAT, 0)
        self._builder.PrependInt8Slot(2, PLANES, GROUPS)
        self.features = self._convert(self._add(INPUT, [], FEATURES), PLANES, GROUPS)

    def convolution(self, value: int, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> int:
        """Convolve with 3 × 3 weights (out, in, 3, 3), surrounded by zeros."""
        outputs, inputs = weight.shape[:2]
        builder = self._builder
        builder.StartObject(17)
        for margin in (0, 1):
            builder.PrependInt32Slot(margin, 1, 0)
        for kernel in (2, 3):
            builder.PrependInt32Slot(kernel, 3, 1)
        builder.PrependInt32Slot(10, outputs, 0)
        builder.PrependInt32Slot(11, inputs, 0)
        common = builder.EndObject()
        numbers = [builder.CreateNumpyVector(np.ascontiguousarray(each, np.float32).ravel()) for each in (weight, bias)]
        builder.StartObject(6)
        for field, child in enumerate([common, *numbers]):
            builder.PrependUOffsetTRelativeSlot(field, child, 0)
        return self._add(CONVOLUTION, [value])

    def leaky_relu(self, value: int, slope: float) -> int:
        """Multiply negative numbers by the slope."""
        self._builder.StartObject(1)
        self._builder.PrependFloat32Slot(0, slope, 0.0)
        return self._add(LEAKY_RELU, [value])

    def concatenate(self, values: Sequence[int]) -> int:
        """Join the channels of several values."""
        self._builder.StartObject(1)
        self._builder.PrependInt32Slot(0, CHANNEL_AXIS, 0)
        return self._add(CONCAT, values)

    def constant(self, number: float) -> int:
        """Add a number."""
        dims = self._builder.CreateNumpyVector(np.ones(1, np.int32))
        values = self._builder.CreateNumpyVector(np.array([number], np.float32))
        self._builder.StartObject(10)
        self._builder.PrependUOffsetTRelativeSlot(0, dims, 0)
        self._builder.PrependInt32Slot(2, FLOAT, 0)
        self._builder.PrependUOffsetTRelativeSlot(7, values, 0)
        return self._add(CONST, [])

    def add(self, first: int, second: int) -> int:
        return self._combine(ADD, first, second)

    def multiply(self, first: int, second: int) -> int:
        return self._combine(MULTIPLY, first, second)

    def double(self, value: int) -> int:
        """Repeat each pixel in both directions."""
        self._builder.StartObject(11)
        for field in (0, 1):
            self._builder.PrependFloat32Slot(field, 2.0, 0.0)
        self._builder.PrependInt32Slot(4, NEAREST, 0)
        self._builder.PrependInt8Slot(10, ASYMMETRIC, 0)
        return self._add(RESIZE, [value])

    def finish(self, value: int) -> bytes:
        """Make this value the result, and return the file."""
        self._convert(value, GROUPS, PLANES, RESULT)
        builder = self._builder
        names = self._vector([builder.CreateString(name) for name in self._names])
        results = self._vector([builder.CreateString(RESULT)])
        operators = self._vector(self._operators)
        builder.StartObject(12)
        builder.PrependUOffsetTRelativeSlot(3, operators, 0)
        builder.PrependUOffsetTRelativeSlot(4, results, 0)
        builder.PrependInt8Slot(6, 3, 0)  # lengths of values in the order of ONNX
        builder.PrependUOffsetTRelativeSlot(7, names, 0)
        builder.PrependInt32Slot(8, len(self._names), 0)
        builder.Finish(builder.EndObject())
        return bytes(builder.Output())

    def _combine(self, operation: int, first: int, second: int) -> int:
        self._builder.StartObject(3)
        self._builder.PrependInt32Slot(0, operation, 0)
        self._builder.PrependInt32Slot(1, FLOAT, 0)
        return self._add(BINARY, [first, second])

    def _convert(self, value: int, source: int, target: int, name: str = "") -> int:
        """Change the memory layout."""
        self._builder.StartObject(2)
        self._builder.PrependInt8Slot(0, source, 0)
        self._builder.PrependInt8Slot(1, target, 0)
        return self._add(CONVERT, [value], name)

    def _add(self, kind: tuple[int, int], inputs: Sequence[int], name: str = "") -> int:
        """Finish the parameters that were started last, and add their operator."""
        builder, number = self._builder, len(self._names)
        parameters = builder.EndObject()
        self._names.append(name or f"value_{number}")
        label = builder.CreateString(self._names[-1])
        sources = builder.CreateNumpyVector(np.array(inputs, np.int32)) if inputs else 0
        results = builder.CreateNumpyVector(np.array([number], np.int32))
        builder.StartObject(7)
        builder.PrependUOffsetTRelativeSlot(0, sources, 0)
        builder.PrependUint8Slot(1, kind[1], 0)
        builder.PrependUOffsetTRelativeSlot(2, parameters, 0)
        builder.PrependUOffsetTRelativeSlot(3, label, 0)
        builder.PrependUOffsetTRelativeSlot(4, results, 0)
        builder.PrependInt32Slot(5, kind[0], 0)
        if kind == RESIZE:
            builder.PrependInt8Slot(6, PLANES, 1)
        self._operators.append(int(builder.EndObject()))
        return number

    def _vector(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())


def run_network(data: bytes, features: NDArray[np.float32], threads: int) -> NDArray[np.float32]:
    """Load the file of a network, run it with (1, C, H, W), and free it.

    Other Python threads can run meanwhile. Raises WeightsError if MNN cannot run it."""
    mnn = import_mnn()
    # MNN loads networks only by path.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.mnn")
        path.write_bytes(data)
        network = mnn.Interpreter(str(path))
    # "normal" is single precision. "low" would be half precision on ARM.
    session = network.createSession({"backend": "CPU", "numThread": threads, "precision": "normal"})
    entry = network.getSessionInput(session, FEATURES)
    network.resizeTensor(entry, features.shape)
    network.resizeSession(session)
    entry.copyFrom(_tensor(features))
    if network.runSession(session) != 0:
        raise WeightsError("MNN cannot run the network.")
    answer = network.getSessionOutput(session, RESULT)
    result = _tensor(np.empty(answer.getShape(), np.float32))
    answer.copyToHostTensor(result)
    return np.array(result.getNumpyData())


def _tensor(values: NDArray[np.float32]) -> Any:
    """Copy an array to a tensor of MNN."""
    mnn = import_mnn()
    return mnn.Tensor(values.shape, mnn.Halide_Type_Float, values, mnn.Tensor_DimensionType_Caffe)


def import_mnn() -> Any:
    """Import MNN without the line that its library prints to the standard output. Safe to call from several threads."""
    with _importing:
        return _import_quietly()


@cache
def _import_quietly() -> Any:
    """Import MNN. What it prints goes to the standard error, except for the line about the processor."""
    with tempfile.TemporaryFile() as printed:
        sys.stdout.flush()
        output = os.dup(1)
        try:
            os.dup2(printed.fileno(), 1)
            import MNN

            # The C library keeps the line in a buffer.
            ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None).fflush(None)
        finally:
            os.dup2(output, 1)
            os.close(output)
        printed.seek(0)
        for line in printed:
            if not line.startswith(PROCESSOR_LINE):
                sys.stderr.write(line.decode(errors="replace"))
    return MNN
