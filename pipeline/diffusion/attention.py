"""Attention layers of the UNet and the ControlNet, with keys and values cached across all denoising steps.

Text and face tokens do not change while a picture is denoised. Their keys and values are therefore constant in every
cross-attention layer, and `project_all` computes them once. A layer without cached keys and values computes its own.

The results equal those of diffusers' AttnProcessor2_0 and IPAdapterAttnProcessor2_0, with one adapter scale per
picture. The classes override `__call__` because diffusers calls its processors that way. SDXL uses no `attention_mask`,
so the classes ignore it.
"""

from collections.abc import Sequence

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import WeightsError

KeysValues = tuple[Tensor, ...]
"""Keys and values of one layer, each (rows, heads, tokens, channels).

The text tokens come first. In the UNet, the face tokens follow.
"""


class SelfAttention(nn.Module):
    """Self-attention processor. Uses one fused projection after `fuse_self_attention`."""

    def __init__(self, flash: bool) -> None:
        super().__init__()
        self.flash = flash

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        face: Tensor | None = None,
        face_scale: Tensor | None = None,
        keys_values: Sequence[KeysValues] | None = None,
    ) -> Tensor:
        """Compute self-attention over (rows, positions, channels). Only cross-attention uses the other arguments."""
        if attn.fused_projections:
            query, key, value = attn.to_qkv(hidden_states).chunk(3, dim=-1)
        else:
            query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        heads = [split_heads(part, attn.heads) for part in (query, key, value)]
        return attn.to_out[0](join_heads(attend(*heads, flash=self.flash)))


class CrossAttention(nn.Module):
    """Cross-attention processor. In the UNet it also attends to the face tokens, through the adapter's projections."""

    def __init__(self, layer: int, flash: bool, face_key: nn.Linear | None, face_value: nn.Linear | None) -> None:
        super().__init__()
        self.layer = layer
        self.flash = flash
        self.face_key = face_key
        self.face_value = face_value

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        face: Tensor | None = None,
        face_scale: Tensor | None = None,
        keys_values: Sequence[KeysValues] | None = None,
    ) -> Tensor:
        """Compute cross-attention from (rows, positions, channels) to the tokens.

        keys_values: cached keys and values of all layers, or None to compute those of this layer."""
        if keys_values is None:
            assert encoder_hidden_states is not None
            key, value, *face_keys_values = self.project(attn, encoder_hidden_states, face, face_scale)
        else:
            key, value, *face_keys_values = keys_values[self.layer]
        query = split_heads(attn.to_q(hidden_states), attn.heads)
        attended = attend(query, key, value, flash=self.flash)
        if face_keys_values:
            attended = attended + attend(query, *face_keys_values, flash=self.flash)
        return attn.to_out[0](join_heads(attended))

    def project(self, attn: Attention, tokens: Tensor, face: Tensor | None, face_scale: Tensor | None) -> KeysValues:
        """Project tokens (rows, N, width) to keys and values.

        The values of the face are multiplied by the adapter scale of each row, (rows, 1, 1)."""
        parts = [attn.to_k(tokens), attn.to_v(tokens)]
        if self.face_key is not None and self.face_value is not None:
            # Attention is linear in the values. The adapter scale can therefore be applied once, to the values.
            parts += [self.face_key(face), self.face_value(face) * face_scale]
        return tuple(split_heads(part, attn.heads).contiguous() for part in parts)


def attend(query: Tensor, key: Tensor, value: Tensor, *, flash: bool) -> Tensor:
    """Return softmax(q k' / sqrt(channels)) v. flash: use torch's fused kernels."""
    if flash:
        return functional.scaled_dot_product_attention(query, key, value)
    return (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(dim=-1) @ value


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """Reshape (rows, N, heads * channels) to (rows, heads, N, channels)."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(tokens: Tensor) -> Tensor:
    """Reshape (rows, heads, N, channels) to (rows, N, heads * channels)."""
    return tokens.transpose(1, 2).flatten(2)


def install_attention(network: UNet2DConditionModel | ControlNetModel, *, flash: bool) -> None:
    """Replace diffusers' attention processors with the classes of this module. Keeps the loaded face projections.

    Raises WeightsError if the network's attention layers are not those of SDXL."""
    ours: dict[str, nn.Module] = {}
    layer = 0
    for name, theirs in network.attn_processors.items():
        if name.endswith("attn1.processor"):
            ours[name] = SelfAttention(flash)
            continue
        face_key = theirs.to_k_ip[0] if hasattr(theirs, "to_k_ip") else None
        face_value = theirs.to_v_ip[0] if hasattr(theirs, "to_v_ip") else None
        ours[name] = CrossAttention(layer, flash, face_key, face_value)
        layer += 1
    for attn in attention_layers(network):
        plain = attn.group_norm is attn.spatial_norm is attn.norm_cross is attn.norm_q is None
        if not plain or attn.residual_connection or attn.rescale_output_factor != 1:
            raise WeightsError("The network's attention layers do not match SDXL.")
    network.set_attn_processor(ours)


def attention_layers(network: UNet2DConditionModel | ControlNetModel) -> list[Attention]:
    """Return all attention layers in the order of `network.modules()`."""
    return [module for module in network.modules() if isinstance(module, Attention)]


def project_all(
    network: UNet2DConditionModel | ControlNetModel, tokens: Tensor, face: Tensor | None, face_scale: Tensor | None
) -> tuple[KeysValues, ...]:
    """Compute the keys and values of all cross-attention layers, indexed by layer."""
    cross = [attn for attn in attention_layers(network) if isinstance(attn.processor, CrossAttention)]
    cross.sort(key=lambda attn: attn.processor.layer)
    return tuple(attn.processor.project(attn, tokens, face, face_scale) for attn in cross)


def fuse_self_attention(network: UNet2DConditionModel | ControlNetModel) -> None:
    """Fuse the three projections of each self-attention layer into one matrix, and free the original three.

    This does not use diffusers' `fuse_qkv_projections`, which replaces all processors and would discard the face
    projections."""
    for attn in attention_layers(network):
        if isinstance(attn.processor, SelfAttention) and not attn.fused_projections:
            attn.fuse_projections()
            attn.to_q = attn.to_k = attn.to_v = None
            torch.cuda.empty_cache()
