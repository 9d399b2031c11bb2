"""Four times the width and height: Real-ESRGAN, on the GPU through torch.

One whole picture at a time. Tiles and a network for the CPU without torch are not here yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.types import Pixels

if TYPE_CHECKING:
    import torch

    from pipeline.rrdbnet import RRDBNet

SCALE = 4


class TorchUpscaler:
    """Holds the network on a device, in half precision there unless the device is the CPU."""

    def __init__(self, network: RRDBNet, device: str, *, channels_last: bool = True, compiled: bool = False) -> None:
        import torch

        self.device = device
        self.dtype = torch.float32 if device == "cpu" else torch.float16
        self.network = network.eval().requires_grad_(False).to(device=device, dtype=self.dtype)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network.to(memory_format=self.memory_format)
        if compiled:
            self.network.compile(dynamic=False)

    @classmethod
    def load(cls, path: Path, device: str, *, channels_last: bool = True, compiled: bool = False) -> TorchUpscaler:
        """From a .safetensors file. Raises WeightsError."""
        from pipeline.rrdbnet import load_rrdbnet

        return cls(load_rrdbnet(path), device, channels_last=channels_last, compiled=compiled)

    def enlarge(self, picture: torch.Tensor) -> torch.Tensor:
        """(3, H, W) float, 0..1 -> (3, 4H, 4W) float32, 0..1, on the device."""
        import torch

        with torch.inference_mode():
            inputs = picture[None].to(device=self.device, dtype=self.dtype).contiguous(memory_format=self.memory_format)
            return self.network(inputs)[0].float().clamp(0, 1)

    def upscale(self, pixels: Pixels) -> Pixels:
        """(H, W, 3) -> (4H, 4W, 3), sRGB uint8."""
        import torch

        picture = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1) / 255
        enlarged = self.enlarge(picture).mul(255).round().byte()
        result: Pixels = enlarged.permute(1, 2, 0).contiguous().cpu().numpy()
        return result
