"""Encode prompts with both text encoders, and cache the embeddings."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.engines.instantid.networks.bundle import Networks
from pipeline.engines.instantid.picture_checks import require_finite

# An embedding takes 0.3 MB in half precision. A pack needs two per style.
MAX_CACHED_PROMPTS = 256


@dataclass(frozen=True, eq=False)
class PromptEmbedding:
    """The embedding of one prompt. Has the dtype and the device of the UNet.

    Attributes:
        tokens: (77, width), the concatenated outputs of both encoders.
        pooled: (P,), from the second encoder.
    """

    tokens: Tensor
    pooled: Tensor


class PromptEncoder:
    """Encodes prompts, and caches the MAX_CACHED_PROMPTS most recently used embeddings."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._known: OrderedDict[str, PromptEmbedding] = OrderedDict()

    def encode(self, prompts: list[str]) -> list[PromptEmbedding]:
        """Return one embedding per prompt, in order.

        Prompts are truncated to 77 tokens."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        if new:
            ids = [[tokenize(tokenizer, prompt) for tokenizer in self._networks.tokenizers] for prompt in new]
            with torch.inference_mode():
                embeddings = encode_ids(self._networks, ids)
            for embedding in embeddings:
                require_finite(embedding.tokens, "The embedding of a prompt")
            self._known.update(zip(new, embeddings, strict=True))
        for prompt in prompts:
            self._known.move_to_end(prompt)
        embeddings = [self._known[prompt] for prompt in prompts]
        while len(self._known) > MAX_CACHED_PROMPTS:
            self._known.popitem(last=False)
        return embeddings


def tokenize(tokenizer: object, prompt: str) -> Tensor:
    """Return the token ids of a prompt, (1, 77) int64.

    The ids consist of start token, prompt, end token, and the padding that the text encoder was trained with."""
    assert callable(tokenizer)
    encoded = tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    return torch.as_tensor(encoded.input_ids)


def encode_ids(networks: Networks, prompts: Sequence[Sequence[Tensor]]) -> list[PromptEmbedding]:
    """Encode prompts as SDXL expects. Each prompt consists of the token ids (1, 77) of both tokenizers.

    Takes the second-to-last hidden state of each encoder. The pooled embedding is the text projection of the second
    encoder. With `offload`, one encoder at a time is on the device."""
    states: list[list[Tensor]] = []
    for number, encoder in enumerate(networks.text_encoders):
        with networks.on_device(encoder):
            outputs = [encoder(ids[number].to(networks.device), output_hidden_states=True) for ids in prompts]
        states.append([output.hidden_states[-2][0] for output in outputs])
    pooled = [output.text_embeds[0] for output in outputs]
    return [
        PromptEmbedding(torch.cat(pair, dim=-1).to(networks.dtype), each.to(networks.dtype))
        for *pair, each in zip(*states, pooled, strict=True)
    ]
