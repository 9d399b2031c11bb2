"""Matrix products in 8 bit floating point with nothing but torch: e4m3, one scale a row and a column."""

import torch
from torch import Tensor, nn

# Kernels want both sides in sixteens.
GRAIN = 16


class Float8Linear(nn.Module):
    """A linear layer whose weight is stored, and whose input is rounded, to e4m3; sums are kept in full precision.

    Each output channel and each input position has a scale of its own. Not lossless: about 3 significant bits."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight, scale = to_float8(linear.weight.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", scale.t().contiguous())
        self.bias = linear.bias
        self.in_features, self.out_features = linear.in_features, linear.out_features

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features), dtype kept."""
        rows, scale = to_float8(tokens.reshape(-1, self.in_features))
        # Scales by row come with bfloat16 results only.
        product = torch._scaled_mm(
            rows, self.weight.t(), scale_a=scale, scale_b=self.weight_scale, out_dtype=torch.bfloat16
        ).to(tokens.dtype)
        if self.bias is not None:
            product = product + self.bias
        return product.reshape(*tokens.shape[:-1], self.out_features)


def to_float8(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K) in e4m3 and the (N, 1) float32 scales that undo it."""
    largest = rows.abs().amax(dim=-1, keepdim=True).float().clamp(min=1e-12)
    scale = largest / torch.finfo(torch.float8_e4m3fn).max
    return (rows.float() / scale).to(torch.float8_e4m3fn), scale


def replace_linears(network: nn.Module) -> int:
    """Swaps the linear layers inside the transformer blocks, in place; returns how many.

    Projections of text and face stay: they run once a picture."""
    swapped = 0
    for block in network.modules():
        if type(block).__name__ != "BasicTransformerBlock":
            continue
        for name, layer in list(block.named_modules()):
            # The feed-forward part, and what self- and cross-attention compute from the picture.
            constant = name.startswith("attn2.") and not name.endswith(("to_q", "to_out.0"))
            fits = isinstance(layer, nn.Linear) and layer.in_features % GRAIN == layer.out_features % GRAIN == 0
            if fits and not constant:
                parent, _, leaf = name.rpartition(".")
                setattr(block.get_submodule(parent), leaf, Float8Linear(layer))
                swapped += 1
    return swapped
