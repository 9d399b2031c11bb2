"""Fit a GPU's memory: residency mode, batch size and the meaning of its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import torch

from pipeline.errors import DeviceLost, EngineUnavailable
from pipeline.types import Size

GIB = 2**30
# In half precision, counted from the parameters: UNet 5.1 GB, the adapter's projections in it 0.9 GB, ControlNet 2.5
# GB, text encoders 1.6 GB, VAE 0.2 GB, upscaler and resampler 0.2 GB.
RESIDENT_BYTES = int(10.6e9)
# Peak of decoding (1.5 GB) or of a strip of the upscaler (1.2 GB), with room for their kernels.
WORKING_BYTES = int(3.0e9)
OFFLOAD_MIN_BYTES = int(11.5e9)
RESIDENT_MIN_BYTES = int(15e9)
# UNet and ControlNet for both halves of a picture of a million pixels. By the networks' shapes 0.43 GB are live at
# once; three times that leaves room for kernels and the allocator. Too small a value costs a retry with half the
# pictures.
PICTURE_BYTES_PER_MEGAPIXEL = int(1.3e9)


class MemoryMode(StrEnum):
    """The way the networks share the GPU.

    RESIDENT keeps all networks on it. OFFLOAD moves text encoders, VAE and upscaler there only while they run."""

    RESIDENT = "resident"
    OFFLOAD = "offload"


def memory_mode(total_bytes: int) -> MemoryMode:
    """Return the mode for a GPU with this much memory.

    Raises EngineUnavailable if the memory is too small, below 11.5 GB."""
    if total_bytes >= RESIDENT_MIN_BYTES:
        return MemoryMode.RESIDENT
    if total_bytes >= OFFLOAD_MIN_BYTES:
        return MemoryMode.OFFLOAD
    raise EngineUnavailable(
        f"The GPU has {total_bytes / 1e9:.1f} GB of memory, but the InstantID engine needs 12 GB. "
        "Fix: use a larger GPU, or set HEADSHOTS_ENGINE=studio."
    )


def fitting_batch(free_bytes: int, size: Size, max_batch: int) -> int:
    """Return how many pictures of this size fit in addition to the loaded networks, 1..max_batch."""
    each = PICTURE_BYTES_PER_MEGAPIXEL * size.width * size.height / 1e6
    return max(1, min(max_batch, int((free_bytes - WORKING_BYTES) / each)))


def next_batch(waiting: int, limit: int, *, static: bool) -> int:
    """Return the size of the next batch.

    Splits the waiting pictures into as few and as even batches as possible. `static` networks only take one picture or
    a full batch. The caller pads more than half a batch to a full one; fewer pictures are rendered singly."""
    if not static:
        return -(-waiting // -(-waiting // limit))
    return min(waiting, limit) if 2 * waiting > limit else 1


@contextmanager
def device_errors() -> Iterator[None]:
    """Convert an accelerator error to DeviceLost: the process cannot use the device again.

    Running out of memory passes through."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except torch.AcceleratorError as error:
        raise DeviceLost(f"The accelerator stopped answering: {str(error).splitlines()[0]}") from error


@contextmanager
def loading() -> Iterator[None]:
    """Convert errors like `device_errors`, and running out of memory to EngineUnavailable.

    For loading networks, where a smaller batch does not help."""
    try:
        with device_errors():
            yield
    except torch.OutOfMemoryError as error:
        raise EngineUnavailable(
            "There is not enough free GPU memory for the networks. nvidia-smi shows which processes use it."
        ) from error


def usable_bytes(device: torch.device) -> int:
    """Return the GPU memory available to batches: free memory and memory that torch reserves but does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
