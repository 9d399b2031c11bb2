"""InstantID's weights at full size: random numbers in the names, shapes and precisions of the real files.

`python -m tests.pipeline.engines.instantid.full_size FOLDER` writes the files, loads them and computes one step. It
prints the figures as JSON. Nothing is ever in memory twice: 12 GB of files, one tensor at a time.
"""

import json
import math
import resource
import shutil
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.bench.setup import make_conditions
from pipeline.diffusion.optimizations import Optimization
from pipeline.engines.instantid.config import Sampling, WeightFiles
from pipeline.engines.instantid.denoise import denoise
from pipeline.engines.instantid.networks.bundle import Networks
from pipeline.engines.instantid.networks.load import load_networks
from pipeline.engines.instantid.networks.random_weights import SDXL, Architecture, Parts, build_parts
from pipeline.types import Size
from pipeline.weights.convert import convert_adapter
from tests.pipeline.engines.instantid.single_file import single_file_layout
from tests.pipeline.engines.instantid.tiny_instantid import GOLDEN

LATENTS = Size(64, 80)
DTYPES = {torch.float16: "F16", torch.float32: "F32", torch.int64: "I64"}
# A prime, so that the rows of a matrix differ although the numbers repeat.
BLOCK = 1_000_003


def measure(folder: Path, architecture: Architecture = SDXL) -> dict[str, object]:
    """Write and load the files, compute one step, and return the figures."""
    figures: dict[str, object] = {}
    started = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal started
        usage = resource.getrusage(resource.RUSAGE_SELF)
        figures[name] = {
            "seconds": round(time.perf_counter() - started, 1),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
            "peak_gigabytes": round(usage.ru_maxrss * 1024 / 1e9, 2),
        }
        print(name, figures[name], file=sys.stderr, flush=True)
        started = time.perf_counter()

    files, written = write_weights(folder, architecture)
    lap("write")
    networks = load_networks(files, "cpu", torch.float16, frozenset({Optimization.FLASH_ATTENTION}))
    lap("load")
    size = Size(LATENTS.width * networks.vae_factor, LATENTS.height * networks.vae_factor)
    with layers_in_full_precision(networks):
        (conditions,) = make_conditions(networks, 1, size, frozenset())
        lap("conditions")
        latents = denoise(networks, [conditions], Sampling(1), frozenset(), lambda share: None)
    lap("step")
    return figures | {
        **written,
        "precisions": sorted({str(each.dtype) for each in networks.unet.parameters()}),
        "shape": list(latents.shape),
        "finite": bool(latents.isfinite().all()),
        "change": float((latents[0] - conditions.noise).std()),
    }


def write_weights(folder: Path, architecture: Architecture) -> tuple[WeightFiles, dict[str, int]]:
    """Write all files. Returns their paths, and their numbers of tensors and bytes as they are downloaded."""
    parts = build_parts(architecture, "meta", torch.float16)
    files = WeightFiles(
        base=folder / "sdxl.safetensors",
        controlnet=folder / "controlnet",
        adapter=folder / "ip-adapter.safetensors",
        faces=folder,
        base_configs=folder / "configs",
        vae=folder / "vae",
    )
    tensors = checkpoint(parts)
    write_safetensors(files.base, tensors)
    for network, place in ((parts.controlnet, files.controlnet), (parts.vae.float(), files.vae)):
        network.save_config(place)
        write_safetensors(place / "diffusion_pytorch_model.safetensors", network.state_dict())
    write_configs(parts, folder / "configs")
    pickle = folder / "ip-adapter.bin"
    groups = adapter(parts, architecture)
    # A pickle would hold all of the block that a tensor is a part of.
    filled = {part: {name: fill(name, each).clone() for name, each in named.items()} for part, named in groups.items()}
    torch.save(filled, pickle)
    del filled
    convert_adapter(pickle, files.adapter)
    written = {
        "checkpoint_tensors": len(tensors),
        "checkpoint_bytes": files.base.stat().st_size,
        "adapter_tensors": len(groups["ip_adapter"]),
        "adapter_bytes": pickle.stat().st_size,
        "controlnet_bytes": (files.controlnet / "diffusion_pytorch_model.safetensors").stat().st_size,
    }
    pickle.unlink()
    return files, written


def checkpoint(parts: Parts) -> dict[str, Tensor]:
    """The tensors of sd_xl_base_1.0 and what was trained from it, without data."""
    unet = {name: each for name, each in parts.unet.state_dict().items() if ".processor." not in name}
    first, second = (encoder.state_dict() for encoder in parts.text_encoders)
    tensors = single_file_layout(unet, parts.vae.state_dict(), first, second)
    # Two that transformers does not need.
    tensors["conditioner.embedders.0.transformer.text_model.embeddings.position_ids"] = torch.empty(
        1, 77, dtype=torch.int64, device="meta"
    )
    tensors["conditioner.embedders.1.model.logit_scale"] = torch.empty((), dtype=torch.float16, device="meta")
    return tensors


def adapter(parts: Parts, architecture: Architecture = SDXL) -> dict[str, dict[str, Tensor]]:
    """The tensors of ip-adapter.bin in full precision, without data."""
    width, channels = architecture.width, architecture.resampler[0]
    layer = {
        "0.norm1.weight": (channels,), "0.norm1.bias": (channels,),
        "0.norm2.weight": (channels,), "0.norm2.bias": (channels,),
        "0.to_q.weight": (channels, channels), "0.to_kv.weight": (2 * channels, channels),
        "0.to_out.weight": (channels, channels),
        "1.0.weight": (channels,), "1.0.bias": (channels,),
        "1.1.weight": (4 * channels, channels), "1.3.weight": (channels, 4 * channels),
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {
        "latents": (1, 16, channels),
        "proj_in.weight": (channels, 512), "proj_in.bias": (channels,),
        "proj_out.weight": (width, channels), "proj_out.bias": (width,),
        "norm_out.weight": (width,), "norm_out.bias": (width,),
        **{f"layers.{number}.{name}": shape for number in range(4) for name, shape in layer.items()},
    }  # fmt: skip
    keys: dict[str, tuple[int, ...]] = {}
    for index, (name, processor) in enumerate(parts.unet.attn_processors.items()):
        if name.endswith("attn2.processor"):
            shape = tuple(processor.to_k_ip[0].weight.shape)
            keys |= {f"{index}.to_k_ip.weight": shape, f"{index}.to_v_ip.weight": shape}
    return {
        group: {name: torch.empty(shape, device="meta") for name, shape in named.items()}
        for group, named in (("image_proj", shapes), ("ip_adapter", keys))
    }


def write_configs(parts: Parts, folder: Path) -> None:
    """The small files of SDXL: the configs of these networks, and the tiny tokenizers."""
    for name in ("tokenizer", "tokenizer_2", "scheduler"):
        shutil.copytree(GOLDEN / "base" / name, folder / name)
    shutil.copy(GOLDEN / "base" / "model_index.json", folder)
    parts.unet.save_config(folder / "unet")
    parts.vae.save_config(folder / "vae")
    for name, encoder in zip(("text_encoder", "text_encoder_2"), parts.text_encoders, strict=True):
        encoder.config.save_pretrained(folder / name)


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write random numbers for tensors without data, one after the other."""
    header: dict[str, object] = {}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, tensor in tensors.items():
            file.write(fill(name, tensor).numpy().data)


def fill(name: str, tensor: Tensor, block: list[Tensor] = []) -> Tensor:  # noqa: B006 - a cache
    """Numbers that keep a network's values in range: norms do nothing, matrices keep the length of a vector."""
    if tensor.dtype == torch.int64:
        return torch.arange(tensor.numel()).reshape(tensor.shape)
    if tensor.ndim < 2:
        return torch.full(tensor.shape, float(name.endswith(".weight")), dtype=tensor.dtype)
    if not block:
        block.append(torch.randn(BLOCK, generator=torch.Generator().manual_seed(0)))
    deviation = 1 / math.sqrt(math.prod(tensor.shape[1:]))
    numbers = (block[0] * deviation).to(tensor.dtype)
    return numbers.repeat(-(-tensor.numel() // BLOCK))[: tensor.numel()].reshape(tensor.shape)


@contextmanager
def layers_in_full_precision(networks: Networks) -> Iterator[None]:
    """Let layers compute in full precision, and round their results to half precision, as a GPU does.

    A CPU takes half an hour for a step in half precision. Only the layer that runs is in full precision."""
    handles = []
    for network in (networks.unet, networks.controlnet, networks.condition_embedding, *networks.text_encoders):
        for module in network.modules():
            own = dict(module.named_parameters(recurse=False))
            if own and not isinstance(module, nn.Embedding):
                handles += [module.register_forward_pre_hook(raise_precision), module.register_forward_hook(lower_it)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def raise_precision(module: nn.Module, inputs: tuple[object, ...]) -> tuple[object, ...]:
    module.half_weights = {name: each.data for name, each in module.named_parameters(recurse=False)}
    for each in module.parameters(recurse=False):
        each.data = each.data.float()
    return tuple(each.float() if isinstance(each, Tensor) and each.is_floating_point() else each for each in inputs)


def lower_it(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    for name, each in module.named_parameters(recurse=False):
        each.data = module.half_weights[name]
    del module.half_weights
    return output.half()


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
