"""Real-ESRGAN's x4 network in torch. Layer names match the official weights."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.upscaling.rrdb_weights import BLOCKS, FEATURES, GROWTH, count_blocks, read_rrdb

SCALE = 4
RESIDUAL_SHARE = 0.2
# A feature of the body affects the result up to this many feature pixels to each side.
REACH = 2


def _activate(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, 0.2)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class DenseBlock(nn.Module):
    """Five convolutions. Each takes the outputs of all previous ones as input."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _convolution(features, growth)
        self.conv2 = _convolution(features + growth, growth)
        self.conv3 = _convolution(features + 2 * growth, growth)
        self.conv4 = _convolution(features + 3 * growth, growth)
        self.conv5 = _convolution(features + 4 * growth, features)

    def forward(self, features: Tensor) -> Tensor:
        seen = features
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat([seen, _activate(convolution(seen))], dim=1)
        return features + RESIDUAL_SHARE * self.conv5(seen)


class ResidualBlock(nn.Module):
    """Three dense blocks with a residual connection around them."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(features, growth)
        self.rdb2 = DenseBlock(features, growth)
        self.rdb3 = DenseBlock(features, growth)

    def forward(self, features: Tensor) -> Tensor:
        return features + RESIDUAL_SHARE * self.rdb3(self.rdb2(self.rdb1(features)))


class RRDBNet(nn.Module):
    """Enlarges pictures (B, 3, H, W), 0..1, to (B, 3, 4H, 4W), about 0..1."""

    def __init__(self, features: int = FEATURES, growth: int = GROWTH, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.conv_first = _convolution(3, features)
        self.body = nn.Sequential(*(ResidualBlock(features, growth) for _ in range(blocks)))
        self.conv_body = _convolution(features, features)
        self.conv_up1 = _convolution(features, features)
        self.conv_up2 = _convolution(features, features)
        self.conv_hr = _convolution(features, features)
        self.conv_last = _convolution(features, 3)

    def forward(self, picture: Tensor, strip_rows: int | None = None) -> Tensor:
        """Enlarge the pictures.

        strip_rows: rows of the input per strip. The layers after the body then run strip by strip, which needs less
        memory and gives the same result."""
        features = self.conv_first(picture)
        features = features + self.conv_body(self.body(features))
        height = features.shape[2]
        strips = []
        for top in range(0, height, strip_rows or height):
            bottom = min(height, top + (strip_rows or height))
            start = max(0, top - REACH)
            strip = self._enlarge(features[:, :, start : bottom + REACH])
            strips.append(strip[:, :, SCALE * (top - start) : SCALE * (bottom - start)])
        return torch.cat(strips, dim=2)

    def _enlarge(self, features: Tensor) -> Tensor:
        for convolution in (self.conv_up1, self.conv_up2):
            features = _activate(convolution(functional.interpolate(features, scale_factor=2, mode="nearest")))
        enlarged: Tensor = self.conv_last(_activate(self.conv_hr(features)))
        return enlarged


def load_rrdbnet(path: Path) -> RRDBNet:
    """Load the network from a file that `read_rrdb` can read.

    The shapes of the tensors determine the size of the network. Raises WeightsError."""
    tensors = read_rrdb(path)
    network = RRDBNet(
        len(tensors["conv_first.weight"]), len(tensors["body.0.rdb1.conv1.weight"]), count_blocks(tensors)
    )
    network.load_state_dict({name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()})
    network.eval().requires_grad_(False)
    return network
