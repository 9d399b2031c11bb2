"""Versions of the texts that people agree to. A version's file is never edited, only followed by a newer one."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TEXTS = Path(__file__).parent / "texts"

_AFTER_A_SENTENCE = re.compile(r"(?<=\.) ")


@dataclass(frozen=True)
class ConsentText:
    """What stands beside a checkbox. `version` is the day it came into force."""

    name: str
    version: str
    text: str

    @property
    def sentences(self) -> list[str]:
        return _AFTER_A_SENTENCE.split(self.text)


@dataclass(frozen=True)
class Changes:
    """What somebody who agreed to an older version should look at: that version, and what is new and gone since."""

    since: str
    added: list[str]
    removed: list[str]


@cache
def current(name: str) -> ConsentText:
    """The newest text called `name` (`consent` or `is_me`)."""
    return max(_all_versions(name), key=lambda text: text.version)


@cache
def in_version(name: str, version: str) -> ConsentText | None:
    """The text as it stood then; None for a version that never was."""
    return next((text for text in _all_versions(name) if text.version == version), None)


def changes_since(name: str, version: str) -> Changes | None:
    """What changed between the version that was agreed to and today's; None when it is today's."""
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
