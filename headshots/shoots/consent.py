"""The texts a person agrees to. Each version is a file that is never edited, only followed by a newer one."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

TEXTS = Path(__file__).parent / "texts"


@dataclass(frozen=True)
class ConsentText:
    """What stands beside a checkbox. `version` is the day it came into force."""

    name: str
    version: str
    text: str


@cache
def current(name: str) -> ConsentText:
    """The newest text called `name` (`consent` or `is_me`)."""
    path = max(TEXTS.glob(f"{name}.*.txt"))
    return ConsentText(name=name, version=path.name.split(".")[1], text=path.read_text().strip())
