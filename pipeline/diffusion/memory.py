"""Fit the engine into GPU memory: choose the memory mode and batch size, and translate GPU errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import torch

from pipeline.errors import DeviceLost, EngineUnavailable
from pipeline.types import Size

GIB = 2**30
# Sum of the parameters in half precision: UNet 5.1 GB, the adapter's projections in the UNet 0.9 GB, ControlNet 2.5 GB,
# text encoders 1.6 GB, VAE 0.2 GB, upscaler and resampler 0.2 GB.
RESIDENT_BYTES = int(10.6e9)
# Peak of decoding (1.5 GB) or of one strip of the upscaler (1.2 GB), plus room for the kernels.
WORKING_BYTES = int(3.0e9)
OFFLOAD_MIN_BYTES = int(11.5e9)
RESIDENT_MIN_BYTES = int(15e9)
# Activations of UNet and ControlNet per megapixel, for the unconditional and the conditional half. According to the
# networks' shapes, 0.43 GB are in use at the same time. Three times that leaves room for kernels and the allocator. A
# value that is too small costs one retry with half the pictures.
PICTURE_BYTES_PER_MEGAPIXEL = int(1.3e9)


class MemoryMode(StrEnum):
    """Placement of the networks in GPU memory.

    RESIDENT keeps all networks on the GPU. OFFLOAD moves text encoders, VAE and upscaler to the GPU only while they
    run."""

    RESIDENT = "resident"
    OFFLOAD = "offload"


def memory_mode(total_bytes: int) -> MemoryMode:
    """Choose the memory mode for a GPU with this much memory.

    Raises EngineUnavailable below 11.5 GB."""
    if total_bytes >= RESIDENT_MIN_BYTES:
        return MemoryMode.RESIDENT
    if total_bytes >= OFFLOAD_MIN_BYTES:
        return MemoryMode.OFFLOAD
    raise EngineUnavailable(
        f"The GPU has {total_bytes / 1e9:.1f} GB of memory, but the InstantID engine needs 12 GB. "
        "Fix: use a larger GPU, or set HEADSHOTS_ENGINE=studio."
    )


def fitting_batch(free_bytes: int, size: Size, max_batch: int) -> int:
    """Return how many pictures of this size fit into free memory next to the loaded networks, 1..max_batch."""
    each = PICTURE_BYTES_PER_MEGAPIXEL * size.width * size.height / 1e6
    return max(1, min(max_batch, int((free_bytes - WORKING_BYTES) / each)))


def next_batch(waiting: int, limit: int, *, static: bool) -> int:
    """Return the size of the next batch.

    Splits the waiting pictures into as few batches as possible, of nearly equal size.

    Args:
        waiting: number of pictures that are not rendered yet.
        limit: largest batch that fits into memory.
        static: True for compiled networks, which accept one picture or a full batch only. The caller pads a batch that
            is more than half full. Fewer pictures are rendered one at a time.
    """
    if not static:
        return -(-waiting // -(-waiting // limit))
    return min(waiting, limit) if 2 * waiting > limit else 1


@contextmanager
def device_errors() -> Iterator[None]:
    """Convert accelerator errors to DeviceLost, because the process cannot use the device anymore.

    Out-of-memory errors are not converted."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except torch.AcceleratorError as error:
        raise DeviceLost(f"The accelerator stopped answering: {str(error).splitlines()[0]}") from error


@contextmanager
def loading() -> Iterator[None]:
    """Convert errors like `device_errors`, and out-of-memory errors to EngineUnavailable.

    Use this context manager to load networks, where a smaller batch does not help."""
    try:
        with device_errors():
            yield
    except torch.OutOfMemoryError as error:
        raise EngineUnavailable(
            "There is not enough free GPU memory for the networks. nvidia-smi shows which processes use it."
        ) from error


def usable_bytes(device: torch.device) -> int:
    """Return the GPU memory available to batches: free memory plus memory that torch reserves but does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
