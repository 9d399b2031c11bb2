"""Prove the engine with the settings of this installation, as the render worker would start it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from headshots.engine.configuration import configured_name, open_weights, options


@dataclass(frozen=True)
class Proof:
    """The result of `prove`: True if all pictures passed, and the report as plain values and as lines of text."""

    passed: bool
    report: dict[str, object]
    lines: list[str]


def prove(people: Sequence[Path], folder: Path, *, count: int, large: bool, with_pictures: bool) -> Proof:
    """Make pictures of several people, and write a report that can be sent with a bug report.

    people: a photo, or a folder of photos, per person. large: True for 4K. Raises PipelineError, after the report was
    written if the engine failed."""
    from pipeline.commands.prove import ProofRequest, prove
    from pipeline.engines import choose_engine
    from pipeline.identity.likeness import ACCEPT_DISTANCE
    from pipeline.types import PREMIUM, PREVIEW

    weights, name = open_weights(), configured_name()
    report = prove(
        ProofRequest(
            people=people,
            folder=folder,
            weights=weights,
            engine=choose_engine(weights) if name == "auto" else name,
            options=options(),
            count=count,
            size=PREMIUM if large else PREVIEW,
            max_distance=settings.HEADSHOTS_LIKENESS_MAX_DISTANCE or ACCEPT_DISTANCE,
            with_pictures=with_pictures,
        )
    )
    return Proof(report.passed, report.as_json(), report.lines())
