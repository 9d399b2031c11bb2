"""The InstantID engine at tiny size: real classes, random weights, seconds on a CPU. Its pictures are noise.

Networks come from the parity cases. The face networks are built here with the inputs and outputs of insightface's
own; the detector always sees one face in the middle, the recognizer truly depends on the pixels.
"""

from pathlib import Path

import numpy as np

from pipeline.engines.instantid.config import InstantIDConfig, Sampling, WeightFiles
from pipeline.engines.instantid.faces import DETECTOR, RECOGNIZER
from pipeline.types import Box, Face, Pixels, Size, SourcePhoto

GOLDEN = Path(__file__).parents[3] / "golden" / "instantid"
SIZE = Size(64, 80)
STRIDES, ANCHORS, SIDE = (8, 16, 32), 2, 640
FACE_SHARE = 1 / 3


def build_weights(folder: Path) -> WeightFiles:
    """Everything the engine needs, written to the folder or lying in the golden cases."""
    import torch
    from safetensors.torch import save_file

    from pipeline.upscaling.rrdb_torch import RRDBNet
    from pipeline.weights.convert import convert_adapter

    folder.mkdir(parents=True, exist_ok=True)
    convert_adapter(GOLDEN / "instantid" / "ip-adapter.bin", folder / "ip-adapter.safetensors")
    torch.manual_seed(0)
    save_file(RRDBNet(features=8, growth=4, blocks=1).state_dict(), folder / "upscaler.safetensors")
    build_face_networks(folder)
    return WeightFiles(
        base=GOLDEN / "base",
        controlnet=GOLDEN / "instantid" / "ControlNetModel",
        adapter=folder / "ip-adapter.safetensors",
        faces=folder,
        upscaler=folder / "upscaler.safetensors",
    )


def build_config(folder: Path, steps: int = 2, max_batch: int = 4) -> InstantIDConfig:
    """An engine on the CPU whose canvas is a thumbnail."""
    return InstantIDConfig(
        weights=build_weights(folder),
        device="cpu",
        sampling=Sampling(steps),
        max_batch=max_batch,
        canvas_pixels=SIZE.width * SIZE.height,
    )


def build_face_networks(folder: Path) -> None:
    """Writes a detector and a recognizer with the names and signatures of insightface's antelopev2."""
    import onnx

    onnx.save(_detector(), folder / DETECTOR)
    onnx.save(_recognizer(), folder / RECOGNIZER)


def source_photo(pixels: Pixels, box: Box) -> SourcePhoto:
    """A photo whose face is at the box; the mesh is flat, which reads as frontal."""
    return SourcePhoto(pixels, Face(box, 1.0, np.zeros((468, 3), np.float32)))


def _detector():
    """SCRFD: (1, 3, H, W) -> per stride scores (N, 1), then box distances (N, 4), then key points (N, 10)."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("ReduceMean", ["input.1"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    constants = [numpy_helper.from_array(np.float32(0), "zero")]
    outputs: list[list] = [[], [], []]
    for stride in STRIDES:
        cells = SIDE // stride
        planes = [np.zeros((cells * cells * ANCHORS, width), np.float32) for width in (1, 4, 10)]
        if stride == STRIDES[-1]:
            middle = (cells // 2 * cells + cells // 2) * ANCHORS
            half = SIDE * FACE_SHARE / 2 / stride
            planes[0][middle] = 0.9
            planes[1][middle] = half
            planes[2][middle] = np.array([-0.4, -0.4, 0.4, -0.4, 0, 0, -0.35, 0.45, 0.35, 0.45]) * half
        for group, plane, what in zip(outputs, planes, ("score", "bbox", "kps"), strict=True):
            name = f"{what}_{stride}"
            constants.append(numpy_helper.from_array(plane, f"{name}_constant"))
            nodes.append(helper.make_node("Add", [f"{name}_constant", "nothing"], [name]))
            group.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, plane.shape[1]]))
    picture = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, None, None])
    graph = helper.make_graph(nodes, "scrfd", [picture], [each for group in outputs for each in group], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _recognizer():
    """ArcFace: (N, 3, 112, 112) -> (N, 512), of about the length of glintr100's."""
    from onnx import TensorProto, helper, numpy_helper

    pooled = 14
    weights = np.random.default_rng(0).normal(0, 0.1, (3 * pooled * pooled, 512)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["input.1"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["small"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["1333"]),
    ]
    picture = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [None, 3, 112, 112])
    result = helper.make_tensor_value_info("1333", TensorProto.FLOAT, [None, 512])
    graph = helper.make_graph(nodes, "arcface", [picture], [result], [numpy_helper.from_array(weights, "weights")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
