"""8-bit matrix products in plain torch: weights rounded once, inputs each time, one scale per row."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

# The kernels need both sides to be multiples of 16.
ALIGNMENT = 16


class QuantizedLinear(nn.Module):
    """A linear layer that stores its weight and rounds its input to 8 bits.

    Sums are kept in full precision. Each output channel and each input position has its own scale. Lossy."""

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
        """Round (N, K) to 8 bits and return it with the (N, 1) float32 scales that undo the scaling."""

    @abstractmethod
    def multiply(self, rows: Tensor, scale: Tensor) -> Tensor:
        """Multiply (N, K) rounded rows, with their scales, to (N, out_features)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features), keeping the dtype."""
        product = self.multiply(*self.quantize(tokens.reshape(-1, self.in_features))).to(tokens.dtype)
        if self.bias is not None:
            product = product + self.bias
        return product.reshape(*tokens.shape[:-1], self.out_features)


class Float8Linear(QuantizedLinear):
    """A quantized layer in e4m3 floating point: about 3 significant bits at any magnitude."""

    @staticmethod
    def quantize(rows: Tensor) -> tuple[Tensor, Tensor]:
        scale = row_scales(rows, torch.finfo(torch.float8_e4m3fn).max)
        return (rows.float() / scale).to(torch.float8_e4m3fn), scale

    def multiply(self, rows: Tensor, scale: Tensor) -> Tensor:
        # Torch supports scales per row only with bfloat16 results.
        return torch._scaled_mm(
            rows, self.weight.t(), scale_a=scale, scale_b=self.weight_scale, out_dtype=torch.bfloat16
        )


class Int8Linear(QuantizedLinear):
    """A quantized layer in integers: 7 significant bits near the row's largest value, fewer below."""

    @staticmethod
    def quantize(rows: Tensor) -> tuple[Tensor, Tensor]:
        scale = row_scales(rows, torch.iinfo(torch.int8).max)
        return (rows.float() / scale).round().to(torch.int8), scale

    def multiply(self, rows: Tensor, scale: Tensor) -> Tensor:
        return torch._int_mm(rows, self.weight.t()) * scale * self.weight_scale


def row_scales(rows: Tensor, largest: float) -> Tensor:
    """Return the divisor of each row, (N, 1) float32, that scales its largest magnitude to `largest`."""
    return rows.abs().amax(dim=-1, keepdim=True).float().clamp(min=1e-12) / largest


def quantize_linears(network: nn.Module, kind: type[QuantizedLinear]) -> int:
    """Replace the linear layers inside the transformer blocks, in place, and return how many.

    Projections of text and face tokens stay, because they run once per picture."""
    swapped = 0
    for block in network.modules():
        if type(block).__name__ != "BasicTransformerBlock":
            continue
        for name, layer in list(block.named_modules()):
            # Only layers with an input from the picture change: feed-forward, self-attention, queries and outputs of
            # cross-attention.
            constant = name.startswith("attn2.") and not name.endswith(("to_q", "to_out.0"))
            fits = isinstance(layer, nn.Linear) and layer.in_features % ALIGNMENT == layer.out_features % ALIGNMENT == 0
            if fits and not constant:
                parent, _, leaf = name.rpartition(".")
                setattr(block.get_submodule(parent), leaf, kind(layer))
                swapped += 1
    return swapped
