"""Read the weights of Real-ESRGAN's network from all official file formats.

Needs neither torch nor ncnn. Never executes code from a file.
"""

import hashlib
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import WeightsError

Tensors = Mapping[str, NDArray[np.float32]]
"""Weights (out, in, 3, 3) and biases (out,) by name: conv_first, body.{i}.rdb{j}.conv{k}, conv_body, conv_up1, ..."""

# Architecture of x4plus, with 16.70 M parameters.
FEATURES, GROWTH, BLOCKS = 64, 32, 23
KERNEL = 3

# RealESRGAN_x4plus.pth of xinntao/Real-ESRGAN, release v0.1.0: 67,040,989 bytes.
OFFICIAL_SHA256 = "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1"

NCNN_HALF, NCNN_FULL = 0x01306B47, 0


def read_rrdb(path: Path) -> Tensors:
    """Read the weights from a .bin (ncnn's x4plus), .pth (the official checkpoint) or .safetensors file.

    Raises WeightsError if the file is missing or has other content."""
    readers = {".bin": _read_ncnn, ".pth": _read_checkpoint, ".safetensors": _read_safetensors}
    if path.suffix not in readers:
        raise WeightsError(f"{path}: unknown file type. The file name must end with {' or '.join(readers)}.")
    try:
        tensors = readers[path.suffix](path)
        _check_shapes(tensors)
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing.") from error
    except (
        OSError, KeyError, ValueError, TypeError, AttributeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise WeightsError(f"{path} is not an x4 RRDBNet: {error}") from error
    return tensors


def verify_official(path: Path) -> None:
    """Raise WeightsError unless this file is the RealESRGAN_x4plus.pth of Real-ESRGAN's release v0.1.0."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error
    if digest != OFFICIAL_SHA256:
        raise WeightsError(f"{path} is not the released RealESRGAN_x4plus.pth: its sha256 differs.")


def layer_shapes(features: int, growth: int, blocks: int) -> dict[str, tuple[int, int]]:
    """Return (outputs, inputs) of each convolution, by name, in execution order."""
    shapes = {"conv_first": (features, 3)}
    for block in range(blocks):
        for dense in (1, 2, 3):
            for layer in range(1, 6):
                outputs = growth if layer < 5 else features
                shapes[f"body.{block}.rdb{dense}.conv{layer}"] = (outputs, features + (layer - 1) * growth)
    shapes |= dict.fromkeys(("conv_body", "conv_up1", "conv_up2", "conv_hr"), (features, features))
    return shapes | {"conv_last": (3, features)}


def count_blocks(tensors: Tensors) -> int:
    """Return the number of residual blocks."""
    return 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("body."))


def _check_shapes(tensors: Tensors) -> None:
    """Raise KeyError or ValueError unless these are exactly the tensors of an RRDBNet."""
    features, growth = len(tensors["conv_first.weight"]), len(tensors["body.0.rdb1.conv1.weight"])
    wanted: dict[str, tuple[int, ...]] = {}
    for name, (outputs, inputs) in layer_shapes(features, growth, count_blocks(tensors)).items():
        wanted |= {f"{name}.weight": (outputs, inputs, KERNEL, KERNEL), f"{name}.bias": (outputs,)}
    if wanted != {name: tensor.shape for name, tensor in tensors.items()}:
        raise ValueError("its layers have different shapes")


def _read_ncnn(path: Path) -> Tensors:
    """Read ncnn's format: the weights of all layers in sequence, each with a precision flag, without the graph."""
    data = path.read_bytes()
    tensors: dict[str, NDArray[np.float32]] = {}
    start = 0
    for name, (outputs, inputs) in layer_shapes(FEATURES, GROWTH, BLOCKS).items():
        flag = int.from_bytes(data[start : start + 4], "little")
        if flag not in (NCNN_HALF, NCNN_FULL):
            raise ValueError(f"unknown precision {flag:#x}")
        dtype = np.dtype("<f2" if flag == NCNN_HALF else "<f4")
        weight = np.frombuffer(data, dtype, outputs * inputs * KERNEL**2, start + 4)
        # Half-precision weights are padded to a multiple of 4 bytes.
        start += 4 + (weight.nbytes + 3) // 4 * 4
        tensors[f"{name}.weight"] = weight.astype(np.float32).reshape(outputs, inputs, KERNEL, KERNEL)
        tensors[f"{name}.bias"] = np.frombuffer(data, "<f4", outputs, start).astype(np.float32)
        start += 4 * outputs
    if start != len(data):
        raise ValueError(f"{len(data) - start} bytes are left over")
    return tensors


def _read_safetensors(path: Path) -> Tensors:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    kinds = {"F32": "<f4", "F16": "<f2"}
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, entry in header.items():
        if name != "__metadata__":
            low, high = (8 + length + offset for offset in entry["data_offsets"])
            values = np.frombuffer(data[low:high], kinds[entry["dtype"]])
            tensors[name] = values.astype(np.float32).reshape(entry["shape"])
    return tensors


def _read_checkpoint(path: Path) -> Tensors:
    """Read a torch checkpoint: a ZIP archive with a pickle of names and shapes, and one raw file per tensor."""
    with zipfile.ZipFile(path) as archive:
        index = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
        if index is None:
            raise ValueError("no data.pkl in it")
        content = _TensorsOnly(archive.open(index), archive, index.removesuffix("data.pkl")).load()
    if isinstance(content, dict):
        # Prefer the averaged weights, which are the released ones.
        content = content.get("params_ema", content.get("params", content))
    if not isinstance(content, dict) or not all(isinstance(each, np.ndarray) for each in content.values()):
        raise ValueError("no named tensors in it")
    return {str(name): np.asarray(tensor, np.float32) for name, tensor in content.items()}


@dataclass(frozen=True)
class _StorageType:
    """Placeholder for one of torch's storage classes."""

    dtype: str


class _TensorsOnly(pickle.Unpickler):
    """An unpickler that loads only names, numbers and tensors. Refuses all other classes in the pickle."""

    def __init__(self, file: IO[bytes], archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> type | _StorageType | Callable[..., NDArray[np.float32]]:
        known: dict[str, type | _StorageType | Callable[..., NDArray[np.float32]]] = {
            "collections.OrderedDict": OrderedDict,
            "torch.FloatStorage": _StorageType("<f4"),
            "torch.HalfStorage": _StorageType("<f2"),
            "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
        }
        if f"{module}.{name}" not in known:
            raise pickle.UnpicklingError(f"it wants to load {module}.{name}")
        return known[f"{module}.{name}"]

    def persistent_load(self, saved: tuple[str, _StorageType, str, str, int]) -> NDArray[np.float32]:
        _, storage_type, key, _, count = saved
        return np.frombuffer(self._archive.read(f"{self._folder}data/{key}"), storage_type.dtype, count).astype(
            np.float32
        )


def _rebuild_tensor(
    storage: NDArray[np.float32], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> NDArray[np.float32]:
    """Return a contiguous tensor as a view of its storage.

    Raises ValueError for any other memory layout."""
    count = int(np.prod(size))
    if stride != tuple(_strides(size)) or offset + count > storage.size:
        raise ValueError("a tensor has an unsupported memory layout")
    return storage[offset : offset + count].reshape(size)


def _strides(size: tuple[int, ...]) -> Iterator[int]:
    """Yield the strides of a contiguous tensor, in elements."""
    for axis in range(len(size)):
        yield int(np.prod(size[axis + 1 :]))
