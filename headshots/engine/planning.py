"""Plan the shots of a pack, and check the recipe of a look."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipeline.styles.rules import OPTIONAL as OPTIONAL
from pipeline.styles.rules import SCALES as SCALES
from pipeline.styles.rules import SETS as SETS
from pipeline.styles.rules import is_plain_color as is_plain_color
from pipeline.styles.rules import recipe_faults as recipe_faults
from pipeline.styles.shot_list import choose_replacement as _choose_replacement
from pipeline.styles.shot_list import min_styles, plan_shots
from pipeline.styles.shot_list import reframe as _reframe
from pipeline.styles.shot_list import reshoot as _reshoot
from pipeline.types import (
    Framing,
    Light,
    Shot,
    Size,
    StyleSpec,
)


@dataclass(frozen=True)
class PlannedShot:
    """One shot in plain values, as the database stores them."""

    index: int
    seed: int
    style: StyleSpec
    framing: str = Framing.CLASSIC
    light: str = Light.KEY

    def as_shot(self) -> Shot:
        """Convert to the pipeline's Shot. Raises ValueError for an unknown framing or light."""
        return Shot(self.index, self.style, self.seed, framing=Framing(self.framing), light=Light(self.light))


def plan(styles: Sequence[StyleSpec], count: int, seed: int) -> list[PlannedShot]:
    """Return the distinct shots of a pack, in order.

    Raises ValueError if these styles do not allow that many distinct shots."""
    return [_planned(shot) for shot in plan_shots(styles, count, seed)]


def min_style_count(count: int) -> int:
    """Return how many looks a pack of `count` distinct headshots needs.

    Assumes that no two looks share a set."""
    return min_styles(count)


def reshoot(shot: PlannedShot, attempt: int) -> PlannedShot:
    """Return a rejected shot with a new seed for this attempt."""
    return _planned(_reshoot(shot.as_shot(), attempt))


def reframe(shot: PlannedShot, attempt: int, taken: Collection[tuple[str, str]]) -> PlannedShot:
    """Return a near-duplicate shot with a new seed, framing and light.

    taken: the pairs of framing and light already used on the shot's set. If all are taken, only the seed changes."""
    return _planned(_reframe(shot.as_shot(), attempt, taken))


def choose_replacement(shot: PlannedShot, attempt: int, pack: Sequence[PlannedShot]) -> PlannedShot | None:
    """Choose a shot that is not in the pack yet, to replace one that fails in every attempt.

    Prefers a different look. Returns None when every combination has been used."""
    other = _choose_replacement(shot.as_shot(), attempt, [each.as_shot() for each in pack])
    return None if other is None else _planned(other)


def premium_size(long_edge: int) -> Size:
    """Return the size of premium pictures in pixels, 4:5 like the preview.

    Rounds the long edge down to a multiple of 40, so that both edges are whole numbers divisible by 8."""
    tall = long_edge // 40 * 40
    return Size(tall * 4 // 5, tall)


def style_from(*, name: str, title: str, recipe: dict[str, object]) -> StyleSpec:
    """Build a style from a look in the database.

    Raises TypeError if the recipe has a key that the pipeline does not know."""
    words = {key: tuple(value) if isinstance(value, list) else value for key, value in recipe.items()}
    return StyleSpec(name=name, title=title, **words)  # type: ignore[arg-type]


def _planned(shot: Shot) -> PlannedShot:
    return PlannedShot(shot.index, shot.seed, shot.style, shot.framing.value, shot.light.value)
