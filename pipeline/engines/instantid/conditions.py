"""Conditions of a picture (prompt, face, pose and noise), and batches of conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pipeline.diffusion.attention import KeysValues, project_all
from pipeline.diffusion.optimizations import CUTOFF, Optimization
from pipeline.engines.instantid.networks.bundle import Networks
from pipeline.engines.instantid.networks.text_encoders import PromptEmbedding
from pipeline.types import Embedding, Pixels, Size


@dataclass(frozen=True, eq=False)
class Conditions:
    """The conditions of one picture.

    Attributes:
        prompt: embedding of the prompt.
        negative: embedding of the negative prompt.
        face_tokens: (2, N, width), first without the face, then with the face. See `face_tokens`.
        keypoint_image: (H, W, 3) uint8, with the size of the picture. See `poses.draw_keypoints`.
        noise: (4, H / factor, W / factor) float32 with unit variance. See `make_noise`.
        guidance_scale: strength of classifier-free guidance. 1 disables the negative prompt.
        control_scale: strength of the ControlNet.
        adapter_scale: strength of the face adapter.
        control_end: fraction of the steps, 0..1, after which the keypoints have no effect.
    """

    prompt: PromptEmbedding
    negative: PromptEmbedding
    face_tokens: Tensor
    keypoint_image: Pixels
    noise: Tensor
    guidance_scale: float = 5.0
    control_scale: float = 0.8
    adapter_scale: float = 0.8
    control_end: float = 1.0


def face_tokens(networks: Networks, embedding: Embedding) -> Tensor:
    """Compute the face tokens, (2, N, width), for no face and for a raw face embedding (512,).

    The tokens for no face are the resampler's output for a zero embedding. They are not zero themselves. The published
    implementation uses the same tokens for the unconditional half."""
    both = torch.stack([torch.zeros(embedding.size), torch.from_numpy(embedding.astype(np.float32)).flatten()])
    with torch.inference_mode():
        tokens: Tensor = networks.resampler(both[:, None].to(networks.device))
    return tokens.flatten(1, -2).to(networks.dtype)


def make_noise(networks: Networks, seed: int, size: Size) -> Tensor:
    """Return the initial noise, (4, H / factor, W / factor) float32 on the CPU.

    A seed gives the same noise on every machine and in every batch."""
    shape = (1, networks.unet.config.in_channels, size.height // networks.vae_factor, size.width // networks.vae_factor)
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))[0]


@dataclass(frozen=True, eq=False)
class Rows:
    """A batch of conditions in the form that the networks take.

    The first half of the rows is unconditional: negative prompt and no face. The second half is conditional: prompt and
    face.

    Attributes:
        text: text tokens.
        face: face tokens.
        adapter_scale: strength of the face adapter, (rows, 1, 1).
        pooled: pooled text embeddings.
        time_ids: SDXL's size and crop conditioning, (rows, 6).
        condition: keypoint images, or their embeddings if the embeddings are cached.
        unet_keys: cached keys and values of the UNet, or None.
        control_keys: cached keys and values of the ControlNet, or None.
    """

    text: Tensor
    face: Tensor
    adapter_scale: Tensor
    pooled: Tensor
    time_ids: Tensor
    condition: Tensor
    unet_keys: tuple[KeysValues, ...] | None = None
    control_keys: tuple[KeysValues, ...] | None = None

    def conditional(self) -> Rows:
        """Return the conditional half of the rows."""
        half = len(self.text) // 2
        keys = [
            None if layers is None else tuple(tuple(part[half:] for part in layer) for layer in layers)
            for layers in (self.unet_keys, self.control_keys)
        ]
        return Rows(
            self.text[half:],
            self.face[half:],
            self.adapter_scale[half:],
            self.pooled[half:],
            self.time_ids[half:],
            self.condition[half:],
            keys[0],
            keys[1],
        )


def make_rows(networks: Networks, pictures: Sequence[Conditions], optimizations: frozenset[Optimization]) -> Rows:
    """Build two rows per picture on the device.

    Computes everything that is constant over the steps."""
    device, dtype = networks.device, networks.dtype
    height, width = pictures[0].keypoint_image.shape[:2]
    images = torch.from_numpy(np.stack([picture.keypoint_image for picture in pictures])).to(device)
    condition = images.permute(0, 3, 1, 2).to(dtype) / 255
    if Optimization.CACHED_CONDITION in optimizations:
        condition = networks.condition_embedding(condition)
    scales = torch.tensor([picture.adapter_scale for picture in pictures], device=device, dtype=dtype)
    rows = Rows(
        text=torch.stack(
            [*(picture.negative.tokens for picture in pictures), *(each.prompt.tokens for each in pictures)]
        ),
        face=torch.cat([torch.stack([picture.face_tokens[half] for picture in pictures]) for half in (0, 1)]),
        adapter_scale=scales.repeat(2)[:, None, None],
        pooled=torch.stack(
            [*(picture.negative.pooled for picture in pictures), *(each.prompt.pooled for each in pictures)]
        ),
        time_ids=torch.tensor([[height, width, 0, 0, height, width]], device=device, dtype=dtype).repeat(
            2 * len(pictures), 1
        ),
        condition=condition.repeat(2, 1, 1, 1),
    )
    if Optimization.CACHED_KEYS not in optimizations:
        return rows
    return replace(
        rows,
        unet_keys=project_all(networks.unet, rows.text, rows.face, rows.adapter_scale),
        # The ControlNet attends to the face tokens and not to the text.
        control_keys=project_all(networks.controlnet, rows.face, None, None),
    )


def control_ends(pictures: Sequence[Conditions], optimizations: frozenset[Optimization]) -> list[float]:
    """Return for each picture the fraction of the steps after which the keypoints have no effect."""
    limit = CUTOFF if Optimization.CONTROL_CUTOFF in optimizations else 1.0
    return [min(picture.control_end, limit) for picture in pictures]
