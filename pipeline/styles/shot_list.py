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
# Seeds must fit into a signed 32-bit column of any database.
SEED_LIMIT = 2**31
# Framing and light for each use of a backdrop. With ten framings and four lights, no combination repeats within twenty
# uses, and no framing within ten. The first combination is the classic framing with the style's own light.
COMBINATIONS = tuple(
    (list(Framing)[turn % len(Framing)], list(Light)[turn % len(Light)])
    for turn in range(math.lcm(len(Framing), len(Light)))
)


def load_styles() -> tuple[StyleSpec, ...]:
    """Return the built-in styles in display order."""
    rows = tomllib.loads(STYLES_FILE.read_text("utf-8"))["style"]
    return tuple(StyleSpec(**{**row, "key_light": tuple(row["key_light"])}) for row in rows)


def plan_shots(styles: Sequence[StyleSpec], count: int, seed: int) -> tuple[Shot, ...]:
    """Plan `count` shots that cycle through the styles and never repeat a seed.

    The same arguments always give the same list, and a longer list starts with the shorter one. Each use of a backdrop
    gets a new combination of framing and light. Therefore no two shots have the same backdrop, framing and light, even
    if two styles share a backdrop.
    Raises ValueError if there are no styles, or if the count or the seed is negative. Raises it also if the styles do
    not allow that many distinct shots."""
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
    """Return how many styles are needed for `count` distinct shots, if each style has its own backdrop."""
    return math.ceil(count / len(COMBINATIONS))


def reshoot(shot: Shot, attempt: int) -> Shot:
    """Return the shot with a new seed that depends on the attempt.

    Attempt 0 returns the shot unchanged."""
    if attempt == 0:
        return shot
    return replace(shot, seed=int(np.random.default_rng([shot.seed, shot.index, attempt]).integers(SEED_LIMIT)))


def reframe(shot: Shot, attempt: int, taken: Collection[tuple[str, str]]) -> Shot:
    """Return the shot with a new seed, and with a framing and light that its backdrop has not used yet.

    Use this for a shot whose picture looks like another one. If the backdrop has used all combinations, only the seed
    changes. taken: framing and light of all shots with that backdrop."""
    free = (turn for turn in COMBINATIONS if turn not in taken)
    framing, light = next(free, (shot.framing, shot.light))
    return replace(reshoot(shot, attempt), framing=framing, light=light)


def choose_replacement(shot: Shot, attempt: int, pack: Sequence[Shot]) -> Shot | None:
    """Choose a replacement for a shot that fails repeatedly.

    Returns a shot that the pack does not contain yet. Prefers another style whose backdrop has an unused framing and
    light. Otherwise returns a shot of the same style. Returns None if the styles have used all combinations."""
    looks = {each.style.name: each.style for each in pack}
    for style in sorted(looks.values(), key=lambda each: each.name == shot.style.name):
        taken = {(each.framing, each.light) for each in pack if each.style.set == style.set}
        other = reframe(replace(shot, style=style), attempt, taken)
        if (other.framing, other.light) not in taken:
            return other
    return None
