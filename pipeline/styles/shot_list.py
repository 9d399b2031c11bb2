"""Plan the shots of a pack, and replace shots that fail. Pure functions."""

import math
import tomllib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.types import Framing, Light, Shot, StyleSpec

STYLES_FILE = Path(__file__).with_name("styles.toml")
# Seeds fit a signed 32 bit column of any database.
SEED_LIMIT = 2**31
# Framing and light of each turn of a set. Both change from turn to turn, ten framings and four lights:
# twenty turns without the same pair twice, ten without the same framing. The first turn is the looks as they are.
COMBINATIONS = tuple(
    (list(Framing)[turn % len(Framing)], list(Light)[turn % len(Light)])
    for turn in range(math.lcm(len(Framing), len(Light)))
)


def load_styles() -> tuple[StyleSpec, ...]:
    """The built-in looks in the order in which they are offered."""
    rows = tomllib.loads(STYLES_FILE.read_text("utf-8"))["style"]
    return tuple(StyleSpec(**{**row, "key_light": tuple(row["key_light"])}) for row in rows)


def plan_shots(styles: Sequence[StyleSpec], count: int, seed: int) -> tuple[Shot, ...]:
    """`count` shots, the styles in turn, no seed twice. The same arguments give the same list.

    Each time that a set comes round it has a framing and a light of its own, so no two shots share all three, not
    even when two styles share a set. A longer list begins with the shorter one. Raises ValueError without a style,
    with a negative count or seed, and when that many distinct shots cannot be made of the styles."""
    if not styles:
        raise ValueError("a shot list needs at least one style")
    if count < 0:
        raise ValueError(f"a shot list of {count} shots")
    rng = np.random.default_rng(seed)
    seeds: dict[int, None] = {}
    while len(seeds) < count:
        seeds[int(rng.integers(SEED_LIMIT))] = None
    shots: list[Shot] = []
    turns: Counter[str] = Counter()
    for index, each in enumerate(seeds):
        style = styles[index % len(styles)]
        if turns[style.set] == len(COMBINATIONS):
            raise ValueError(f"{len(styles)} styles make {index} distinct shots, not {count}")
        framing, light = COMBINATIONS[turns[style.set]]
        turns[style.set] += 1
        shots.append(Shot(index, style, each, framing=framing, light=light))
    return tuple(shots)


def min_styles(count: int) -> int:
    """Of how many styles `count` distinct shots can be made, if each has a set of its own."""
    return math.ceil(count / len(COMBINATIONS))


def reshoot(shot: Shot, attempt: int) -> Shot:
    """The same shot once more with a seed of its own for this attempt, 1 or more. Attempt 0 is the shot itself."""
    if attempt == 0:
        return shot
    return replace(shot, seed=int(np.random.default_rng([shot.seed, shot.index, attempt]).integers(SEED_LIMIT)))


def reframe(shot: Shot, attempt: int, taken: Collection[tuple[str, str]]) -> Shot:
    """A shot that came out like another, once more: with a new seed, in a framing and light that its set has not had.

    taken: framing and light of all shots on that set. When it has had them all only the seed is new."""
    free = (turn for turn in COMBINATIONS if turn not in taken)
    framing, light = next(free, (shot.framing, shot.light))
    return replace(reshoot(shot, attempt), framing=framing, light=light)


def choose_replacement(shot: Shot, attempt: int, pack: Sequence[Shot]) -> Shot | None:
    """A shot that the pack does not have, in place of one that fails however it is made: of another look if one has a
    framing and light left on its set, else of its own. None when the looks have had them all."""
    looks = {each.style.name: each.style for each in pack}
    for style in sorted(looks.values(), key=lambda each: each.name == shot.style.name):
        taken = {(each.framing, each.light) for each in pack if each.style.set == style.set}
        other = reframe(replace(shot, style=style), attempt, taken)
        if (other.framing, other.light) not in taken:
            return other
    return None
