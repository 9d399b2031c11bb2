"""Diagnose the InstantID engine without rendering a picture."""

import torch

from pipeline.diffusion.device import choose_mode
from pipeline.diffusion.memory import MemoryMode, fitting_batch
from pipeline.engines.instantid.config import InstantIDConfig
from pipeline.engines.instantid.faces import FaceReader
from pipeline.engines.instantid.networks.load import load_networks
from pipeline.engines.instantid.options import InstantIDOptions
from pipeline.errors import WeightsError
from pipeline.types import Size
from pipeline.upscaling.rrdb_torch import load_rrdbnet

MODES = {
    MemoryMode.RESIDENT: "all networks stay in GPU memory",
    MemoryMode.OFFLOAD: "text encoders, VAE and upscaler are loaded when needed (offload)",
}
TYPICAL_SIZE = Size(896, 1152)


def device_note(options: InstantIDOptions) -> str:
    """Describe the device, its memory and the memory mode that fits.

    Raises EngineUnavailable if the engine cannot run on the device."""
    mode = choose_mode(options.device, options.chosen_optimizations)
    if options.device == "cpu":
        return "Device: CPU, as configured. Each picture takes many minutes."
    properties = torch.cuda.get_device_properties(options.device)
    free, total = torch.cuda.mem_get_info(options.device)
    count = torch.cuda.device_count()
    chosen = f", {options.device}, one of {count} GPUs" if count > 1 else ""
    batch = fitting_batch(free, TYPICAL_SIZE, options.max_batch)
    return (
        f"Device: {properties.name}{chosen}, {total / 1e9:.0f} GB, {free / 1e9:.0f} GB free. "
        f"Memory mode: {MODES[mode]}. "
        f"Up to about {batch} pictures of {TYPICAL_SIZE.width} × {TYPICAL_SIZE.height} per batch."
    )


def load_fault(config: InstantIDConfig) -> str | None:
    """Load all networks, and return the first error or None.

    Finds problems in files with correct hashes, such as wrong shapes. Loads to the CPU in half precision, so that a
    worker on the GPU is not disturbed."""
    try:
        FaceReader(config.weights.faces)
        if config.weights.upscaler is not None:
            load_rrdbnet(config.weights.upscaler)
        load_networks(config.weights, "cpu", torch.float16, frozenset())
    except (WeightsError, MemoryError) as error:
        return str(error) or "There is not enough main memory to load the networks."
    return None
