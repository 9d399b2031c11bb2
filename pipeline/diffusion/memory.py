"""Fit a GPU's memory: residency mode, batch size, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import torch

from pipeline.errors import DeviceLost, EngineUnavailable
from pipeline.types import Size

GIB = 2**30
# Half precision: UNet 5.1 GB with the adapter's projections 0.9 GB, ControlNet 2.5 GB; text encoders 1.6 GB, VAE
# 0.2 GB, upscaler and resampler 0.2 GB. Counted from the parameters.
RESIDENT_BYTES = int(10.6e9)
# Decoding (1.5 GB live at once) or a strip of the upscaler (1.2 GB), with room for their kernels.
WORKING_BYTES = int(3.0e9)
OFFLOAD_MIN_BYTES = int(11.5e9)
RESIDENT_MIN_BYTES = int(15e9)
# UNet and ControlNet for both halves of a picture at a million pixels: three times the 0.43 GB that live at once by the
# networks' shapes, for what kernels and the allocator take besides. Running out costs a retry with half the pictures.
PICTURE_BYTES_PER_MEGAPIXEL = int(1.3e9)


class MemoryMode(StrEnum):
    """RESIDENT keeps everything on the GPU; OFFLOAD lets text encoders, VAE and upscaler visit it in turn."""

    RESIDENT = "resident"
    OFFLOAD = "offload"


def memory_mode(total_bytes: int) -> MemoryMode:
    """The mode for a GPU with this much memory. Raises EngineUnavailable below 12 GB."""
    if total_bytes >= RESIDENT_MIN_BYTES:
        return MemoryMode.RESIDENT
    if total_bytes >= OFFLOAD_MIN_BYTES:
        return MemoryMode.OFFLOAD
    raise EngineUnavailable(
        f"The GPU has {total_bytes / 1e9:.1f} GB of memory; the InstantID engine needs 12 GB. "
        "Fix: a larger GPU, or HEADSHOTS_ENGINE=studio."
    )


def fitting_batch(free_bytes: int, size: Size, max_batch: int) -> int:
    """Pictures of this size that fit beside the loaded networks, 1..max_batch."""
    each = PICTURE_BYTES_PER_MEGAPIXEL * size.width * size.height / 1e6
    return max(1, min(max_batch, int((free_bytes - WORKING_BYTES) / each)))


def next_batch(waiting: int, limit: int, *, static: bool) -> int:
    """How many of the waiting pictures to make next: even batches, the fewest that will do.

    `static` networks know one picture and a full batch. More than half a batch is worth filling up; fewer go singly."""
    if not static:
        return -(-waiting // -(-waiting // limit))
    return min(waiting, limit) if 2 * waiting > limit else 1


@contextmanager
def device_errors() -> Iterator[None]:
    """Turns an accelerator's own errors into DeviceLost: the process cannot use the device again.

    Running out of memory is no such error and passes through."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except torch.AcceleratorError as error:
        raise DeviceLost(f"The accelerator stopped answering: {str(error).splitlines()[0]}") from error


@contextmanager
def loading() -> Iterator[None]:
    """The same while networks are loaded, when no smaller batch helps against too little memory."""
    try:
        with device_errors():
            yield
    except torch.OutOfMemoryError as error:
        raise EngineUnavailable(
            "The networks do not fit into what is free of the GPU's memory; nvidia-smi shows what else uses it."
        ) from error


def usable_bytes(device: torch.device) -> int:
    """What batches can have of a GPU's memory: what nobody has, and what torch keeps for the next who asks."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
