"""Count the tokens that CLIP's tokenizer, which both text encoders of SDXL use, makes of a prompt.

The tests need no vocabulary: tests/golden/clip_tokens.json has the count of each word in looks.toml. After a new word:
`python -m tests.helpers.clip_tokens bpe_simple_vocab_16e6.txt.gz` (a file in the package open_clip_torch).
"""

import gzip
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from pipeline.engines.instantid.looks import PROMPTS_FILE

COUNTS_FILE = Path(__file__).parents[1] / "golden" / "clip_tokens.json"
# CLIP's pattern for English text: words, single digits, punctuation.
PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+")
START_AND_END = 2


def split_words(prompt: str) -> list[str]:
    return PIECES.findall(re.sub(r"{\w+}", "", prompt).lower())


def count_tokens(prompt: str) -> int:
    """Return the number of tokens, start and end included. Fails for a word that has not been counted."""
    return START_AND_END + sum(_counts()[word] for word in split_words(prompt))


@cache
def _counts() -> dict[str, int]:
    counts: dict[str, int] = json.loads(COUNTS_FILE.read_text("utf-8"))
    return counts


def texts(value: object) -> Iterator[str]:
    """Yield all texts in a table."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)


def encode(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Split a word into tokens by byte-pair encoding."""
    parts = [*word[:-1], word[-1] + "</w>"]
    while len(parts) > 1:
        pairs = list(pairwise(parts))
        best = min(range(len(pairs)), key=lambda index: ranks.get(pairs[index], len(ranks)))
        if pairs[best] not in ranks:
            break
        parts[best : best + 2] = ["".join(pairs[best])]
    return parts


def main(vocabulary: Path) -> None:
    lines = gzip.decompress(vocabulary.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    ranks = {(pair[0], pair[1]): rank for rank, pair in enumerate(line.split() for line in lines)}
    words = {word for text in texts(tomllib.loads(PROMPTS_FILE.read_text("utf-8"))) for word in split_words(text)}
    counts = {word: len(encode(word, ranks)) for word in sorted(words)}
    COUNTS_FILE.write_text(json.dumps(counts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
