"""8-bit matrix products in plain torch.

Weights are rounded once, inputs on every call. Each row has its own scale.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

# The 8-bit kernels require both dimensions to be multiples of 16.
ALIGNMENT = 16


class QuantizedLinear(nn.Module):
    """A linear layer with 8-bit weights, which also rounds its input to 8 bits. Lossy.

    Sums are accumulated in full precision. Each output channel and each input position has its own scale."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight, scale = self.quantize(linear.weight.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", scale.t().contiguous())
        self.bias = linear.bias
        self.in_features, self.out_features = linear.in_features, linear.out_features

    @staticmethod
    @abstractmethod
    def quantize(rows: Tensor) -> tuple[Tensor, Tensor]:
        """Round (N, K) to 8 bits. Returns the rounded rows and their scales, (N, 1) float32.

        The product of a rounded row and its scale is approximately the original row."""

    @abstractmethod
    def multiply(self, rows: Tensor, scale: Tensor) -> Tensor:
        """Multiply rounded rows (N, K) by the weight, and apply both scales. Returns (N, out_features)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features) without changing the dtype."""
        product = self.multiply(*self.quantize(tokens.reshape(-1, self.in_features))).to(tokens.dtype)
        if self.bias is not None:
            product = product + self.bias
        return product.reshape(*tokens.shape[:-1], self.out_features)


class Float8Linear(QuantizedLinear):
    """A linear layer in 8-bit floating point (e4m3), with about 3 significant bits at any magnitude."""

    @staticmethod
    def quantize(rows: Tensor) -> tuple[Tensor, Tensor]:
        scale = row_scales(rows, torch.finfo(torch.float8_e4m3fn).max)
        return (rows.float() / scale).to(torch.float8_e4m3fn), scale

    def multiply(self, rows: Tensor, scale: Tensor) -> Tensor:
        # Torch supports per-row scales only for bfloat16 results.
        return torch._scaled_mm(
            rows, self.weight.t(), scale_a=scale, scale_b=self.weight_scale, out_dtype=torch.bfloat16
        )


class Int8Linear(QuantizedLinear):
    """A linear layer in 8-bit integers, with 7 significant bits near the largest value of a row and fewer below."""

    @staticmethod
    def quantize(rows: Tensor) -> tuple[Tensor, Tensor]:
        scale = row_scales(rows, torch.iinfo(torch.int8).max)
        return (rows.float() / scale).round().to(torch.int8), scale

    def multiply(self, rows: Tensor, scale: Tensor) -> Tensor:
        return torch._int_mm(rows, self.weight.t()) * scale * self.weight_scale


def row_scales(rows: Tensor, largest: float) -> Tensor:
    """Return the divisor of each row that scales its largest magnitude to `largest`, (N, 1) float32."""
    return rows.abs().amax(dim=-1, keepdim=True).float().clamp(min=1e-12) / largest


def quantize_linears(network: nn.Module, kind: type[QuantizedLinear]) -> int:
    """Replace the linear layers of the transformer blocks by 8-bit layers, in place. Returns their number.

    The projections of text and face tokens are not replaced, because they run only once per picture."""
    swapped = 0
    for block in network.modules():
        if type(block).__name__ != "BasicTransformerBlock":
            continue
        for name, layer in list(block.named_modules()):
            # Replace only layers whose input is the picture: feed-forward, self-attention, and the queries and outputs
            # of cross-attention.
            constant = name.startswith("attn2.") and not name.endswith(("to_q", "to_out.0"))
            fits = isinstance(layer, nn.Linear) and layer.in_features % ALIGNMENT == layer.out_features % ALIGNMENT == 0
            if fits and not constant:
                parent, _, leaf = name.rpartition(".")
                setattr(block.get_submodule(parent), leaf, kind(layer))
                swapped += 1
    return swapped
