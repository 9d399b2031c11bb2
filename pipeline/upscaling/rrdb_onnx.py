"""Real-ESRGAN's network as ONNX graphs for the CPU, without torch."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import WeightsError
from pipeline.types import Pixels, Progress, ignore_progress
from pipeline.upscaling.rrdb_weights import Tensors, count_blocks

if TYPE_CHECKING:
    import onnx
    import onnxruntime

SCALE = 4
LEAK = 0.2
RESIDUAL_SHARE = 0.2

# The network is cut into stages so that the caller gets progress, and can cancel, every few seconds.
BLOCKS_A_STAGE = 3
# The layers after the last block only depend on this many pixels to each side. So they run in strips, with an exact
# result. Their 64 channels at four times the size would need the most memory.
ENLARGER_REACH = 2
ENLARGER_PIXELS = 16_384

# Versions of the format that onnxruntime has supported for years.
OPSET, IR_VERSION = 17, 8


class OnnxNetwork:
    """The network that enlarges pictures four times on the CPU. Not thread-safe."""

    def __init__(self, tensors: Tensors, threads: int = 2) -> None:
        self._stages = [_open_session(model, threads) for model in build_stages(tensors)]
        self._enlarger = _open_session(build_enlarger(tensors), threads)

    def upscale(self, pixels: Pixels, on_progress: Progress = ignore_progress) -> Pixels:
        """Enlarge (H, W, 3) to (4H, 4W, 3).

        Needs about 3 kB of memory per pixel of the input."""
        picture = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None] / np.float32(255))
        first: NDArray[np.float32] = self._stages[0].run(None, {"features": picture})[0]
        features = first
        for done, stage in enumerate(self._stages[1:-1], start=1):
            features = stage.run(None, {"features": features})[0]
            on_progress(done / len(self._stages))
        features = self._stages[-1].run(None, {"features": features, "first": first})[0]

        height, width = pixels.shape[:2]
        enlarged = np.empty((SCALE * height, SCALE * width, 3), np.uint8)
        rows = max(8, ENLARGER_PIXELS // width)
        for top, bottom in pairwise([*range(0, height, rows), height]):
            start, end = max(0, top - ENLARGER_REACH), min(height, bottom + ENLARGER_REACH)
            inputs = {"features": np.ascontiguousarray(features[:, :, start:end])}
            strip = self._enlarger.run(None, inputs, _last_run() if bottom == height else None)[0][0]
            kept = strip[:, SCALE * (top - start) : SCALE * (bottom - start)]
            # Round half to even, as the reference does.
            enlarged[SCALE * top : SCALE * bottom] = np.rint(255 * np.clip(kept, 0, 1)).transpose(1, 2, 0)
        on_progress(1.0)
        return enlarged


def build_stages(tensors: Tensors) -> list[bytes]:
    """Build the body of the network as ONNX models, each from `features` to `result`.

    The last model also takes `first`."""
    blocks = count_blocks(tensors)
    opening = _Graph(tensors)
    stages = [opening.finish(opening.convolve("conv_first", "features"), {"features": 3})]
    width = len(tensors["conv_first.weight"])
    for start, end in pairwise([*range(0, blocks, BLOCKS_A_STAGE), blocks]):
        graph = _Graph(tensors)
        result = "features"
        for block in range(start, end):
            result = graph.residual_block(f"body.{block}", result)
        stages.append(graph.finish(result, {"features": width}))
    closing = _Graph(tensors)
    result = closing.node("Add", "first", closing.convolve("conv_body", "features"))
    return [*stages, closing.finish(result, {"features": width, "first": width})]


def build_enlarger(tensors: Tensors) -> bytes:
    """Build the layers after the body as an ONNX model: from 64 channels to a picture of four times the size."""
    graph = _Graph(tensors)
    result = "features"
    for layer in ("conv_up1", "conv_up2"):
        result = graph.activate(graph.convolve(layer, graph.double(result)))
    result = graph.convolve("conv_last", graph.activate(graph.convolve("conv_hr", result)))
    return graph.finish(result, {"features": len(tensors["conv_first.weight"])})


class _Graph:
    """A builder of ONNX nodes. Its methods add nodes and return the name of their result."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._features = len(tensors["conv_first.weight"])
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def node(self, kind: str, *inputs: str, **attributes: float | str | list[int]) -> str:
        from onnx import helper

        result = f"value_{len(self._nodes)}"
        node = helper.make_node(kind, list(inputs), [result])
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self._nodes.append(node)
        return result

    def convolve(self, layer: str, value: str) -> str:
        names = [f"{layer}.weight", f"{layer}.bias"]
        for name in names:
            self._keep(name, self._tensors[name])
        return self.node("Conv", value, *names, kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    def activate(self, value: str) -> str:
        return self.node("LeakyRelu", value, alpha=LEAK)

    def double(self, value: str) -> str:
        self._keep("doubling", np.array([1, 1, 2, 2], np.float32))
        return self.node("Resize", value, "", "doubling", mode="nearest", coordinate_transformation_mode="asymmetric")

    def residual_block(self, name: str, value: str) -> str:
        result = value
        for dense in (1, 2, 3):
            result = self._dense_block(f"{name}.rdb{dense}", result)
        return self._around(value, result)

    def _dense_block(self, name: str, value: str) -> str:
        seen = [value]
        for layer in (1, 2, 3, 4):
            seen.append(self.activate(self._convolve_all(f"{name}.conv{layer}", seen)))
        return self._around(value, self._convolve_all(f"{name}.conv5", seen))

    def _convolve_all(self, layer: str, values: list[str]) -> str:
        """Convolve the concatenated values, as a sum of one convolution per value.

        Copying the values into one tensor would take a tenth more time."""
        weight, bias = self._tensors[f"{layer}.weight"], f"{layer}.bias"
        self._keep(bias, self._tensors[bias])
        growth = (weight.shape[1] - self._features) // max(1, len(values) - 1)
        total, start = "", 0
        for number, value in enumerate(values):
            channels = growth if number else self._features
            part = f"{layer}.weight.{number}"
            self._keep(part, weight[:, start : start + channels])
            start += channels
            inputs = (value, part) if number else (value, part, bias)
            result = self.node("Conv", *inputs, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            total = self.node("Add", total, result) if number else result
        return total

    def _around(self, value: str, residual: str) -> str:
        self._keep("residual_share", np.array(RESIDUAL_SHARE, np.float32))
        return self.node("Add", value, self.node("Mul", residual, "residual_share"))

    def _keep(self, name: str, values: NDArray[np.float32]) -> None:
        from onnx import numpy_helper

        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)

    def finish(self, result: str, inputs: dict[str, int]) -> bytes:
        """Return the model with the named result.

        inputs: number of channels per input, of any height and width."""
        from onnx import TensorProto, helper

        self._nodes.append(helper.make_node("Identity", [result], ["result"]))
        graph = helper.make_graph(
            self._nodes,
            "rrdbnet",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, "height", "width"])
                for name, channels in inputs.items()
            ],
            [helper.make_tensor_value_info("result", TensorProto.FLOAT, [1, None, None, None])],
            list(self._constants.values()),
        )
        opset = helper.make_opsetid("", OPSET)
        return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION).SerializeToString())


def _last_run() -> onnxruntime.RunOptions:
    """Return options that give the arena's memory back to the system after the run."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


@cache
def _share_arena() -> None:
    """Set up the memory arena that all sessions share, once per process.

    The arena grows only by the requested amount."""
    import onnxruntime

    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    limits = onnxruntime.OrtArenaCfg({"arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(memory, limits)


def _open_session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    """Open a session for a model.

    Raises WeightsError if onnxruntime rejects the model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # There are many sessions with their own threads. Idle threads must not spin.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # All sessions share one arena. Without an arena, clearing of new pages by the kernel takes a fifth of the time. One
    # arena per session would need too much memory.
    _share_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except RuntimeError as error:
        raise WeightsError(f"onnxruntime cannot load the network: {error}") from error
