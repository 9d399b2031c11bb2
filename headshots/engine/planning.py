"""Plan the shots of a pack, and check the recipe of a look."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipeline.styles.rules import OPTIONAL as OPTIONAL
from pipeline.styles.rules import SCALES as SCALES
from pipeline.styles.rules import SETS as SETS
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
    """One shot, as the database stores it."""

    index: int
    seed: int
    style: StyleSpec
    framing: str = Framing.CLASSIC
    light: str = Light.KEY

    def as_shot(self) -> Shot:
        """Convert to the pipeline's Shot. Raises ValueError for an unknown framing or light."""
        return Shot(self.index, self.style, self.seed, framing=Framing(self.framing), light=Light(self.light))


def plan(styles: Sequence[StyleSpec], count: int, seed: int) -> list[PlannedShot]:
    """The shots of a pack, distinct, in order. Raises ValueError when so many cannot be made of the styles."""
    return [_planned(shot) for shot in plan_shots(styles, count, seed)]


def min_style_count(count: int) -> int:
    """How many looks, each on a set of its own, a pack of `count` distinct headshots needs."""
    return min_styles(count)


def reshoot(shot: PlannedShot, attempt: int) -> PlannedShot:
    """A refused shot as it is tried again: with another seed."""
    return _planned(_reshoot(shot.as_shot(), attempt))


def reframe(shot: PlannedShot, attempt: int, taken: Collection[tuple[str, str]]) -> PlannedShot:
    """A shot that came out like another as it is tried again: in a framing and light that are not taken on its set."""
    return _planned(_reframe(shot.as_shot(), attempt, taken))


def choose_replacement(shot: PlannedShot, attempt: int, pack: Sequence[PlannedShot]) -> PlannedShot | None:
    """A shot that the pack does not have, in place of one that fails however it is made; None when it has had all."""
    other = _choose_replacement(shot.as_shot(), attempt, [each.as_shot() for each in pack])
    return None if other is None else _planned(other)


def premium_size(long_edge: int) -> Size:
    """Four by five, as the preview, with that long edge rounded down to what divides evenly."""
    tall = long_edge // 40 * 40
    return Size(tall * 4 // 5, tall)


def style_from(*, name: str, title: str, recipe: dict[str, object]) -> StyleSpec:
    """A look out of the database. Raises TypeError when the recipe has a word the pipeline does not know."""
    words = {key: tuple(value) if isinstance(value, list) else value for key, value in recipe.items()}
    return StyleSpec(name=name, title=title, **words)  # type: ignore[arg-type]


def _planned(shot: Shot) -> PlannedShot:
    return PlannedShot(shot.index, shot.seed, shot.style, shot.framing.value, shot.light.value)
