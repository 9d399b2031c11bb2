"""What the engines run on, for whoever watches them. Loads nothing that the process has not loaded already."""

import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceState:
    """The name of a processor, and its memory in bytes where that is its own (a GPU's)."""

    name: str
    used_bytes: int | None = None
    total_bytes: int | None = None


def look_at(device: str) -> DeviceState:
    """The state of a device in torch's spelling: "cpu", "cuda", "cuda:1"."""
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None and torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info(device)
        return DeviceState(torch.cuda.get_device_name(device), total - free, total)
    return DeviceState(f"{os.cpu_count()} processor cores")
