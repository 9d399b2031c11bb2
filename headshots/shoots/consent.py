"""Versions of the consent texts. The file of a version is never edited. A change is a new file."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TEXTS = Path(__file__).parent / "texts"

_AFTER_A_SENTENCE = re.compile(r"(?<=\.) ")


@dataclass(frozen=True)
class ConsentText:
    """The text of a consent checkbox. `version`: the date on which the text took effect."""

    name: str
    version: str
    text: str

    @property
    def sentences(self) -> list[str]:
        return _AFTER_A_SENTENCE.split(self.text)


@dataclass(frozen=True)
class Changes:
    """The sentences that were added and removed since an older version. `since`: that version."""

    since: str
    added: list[str]
    removed: list[str]


@cache
def current(name: str) -> ConsentText:
    """Return the newest version of the text `name` (`consent` or `is_me`)."""
    return max(_all_versions(name), key=lambda text: text.version)


@cache
def in_version(name: str, version: str) -> ConsentText | None:
    """Return this version of the text, or None if the version does not exist."""
    return next((text for text in _all_versions(name) if text.version == version), None)


def changes_since(name: str, version: str) -> Changes | None:
    """Return the changes from this version to the current one, or None if it is the current one.

    Every sentence counts as added if the version does not exist."""
    now, then = current(name), in_version(name, version)
    if version == now.version:
        return None
    before = then.sentences if then else []
    return Changes(
        since=version,
        added=[sentence for sentence in now.sentences if sentence not in before],
        removed=[sentence for sentence in before if sentence not in now.sentences],
    )


def _all_versions(name: str) -> list[ConsentText]:
    return [
        ConsentText(name=name, version=path.name.split(".")[1], text=path.read_text(encoding="utf-8").strip())
        for path in TEXTS.glob(f"{name}.*.txt")
    ]
