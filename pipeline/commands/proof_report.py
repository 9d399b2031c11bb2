"""The report of `prove`, which can be sent with a bug report.

Contains figures only: no picture, no embedding, no name, no path and no email address. People are numbered.
"""

import re
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.quality.gate import Drift

EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
# The folders of an absolute path. The name of the file stays.
FOLDERS = re.compile(r"(?<![\w/…])(?:/[^/\s'\":,;()]+)+/(?=[^/\s])")
# Number of innermost calls that an error is reported with.
CALLS = 8


@dataclass(frozen=True)
class EncoderReading:
    """The likeness of one picture according to one face encoder.

    Attributes:
        encoder: name of the encoder.
        distance: distance to the person's own photos, in the units of the encoder. AuraFace's is 1 - cosine.
        limit: largest accepted distance.
        other_person: smallest distance to the photos of another person of the report. None if there is no other.
        likeness: calibrated probability of the same person, or None if the encoder is not calibrated.
    """

    encoder: str
    distance: float
    limit: float
    other_person: float | None
    likeness: float | None


@dataclass(frozen=True)
class PictureFigures:
    """The figures of one picture.

    Attributes:
        style: name of the look.
        seed: seed of the shot.
        faces: number of faces in the picture.
        accepted: True if the quality gate accepts the picture.
        reasons: reasons against the picture.
        likeness: one reading per encoder. Empty unless the picture shows exactly one face.
        skin: difference to the skin in the photo. None unless the picture shows exactly one face.
        quality: 0..1.
    """

    style: str
    seed: int
    faces: int
    accepted: bool
    reasons: tuple[str, ...]
    likeness: tuple[EncoderReading, ...]
    skin: Drift | None
    quality: float

    def line(self) -> str:
        """Return the figures as one line of text."""
        verdict = "accepted" if self.accepted else f"refused ({', '.join(self.reasons)})"
        return f"{self.style:14} {verdict:24} {self.likeness_text()}  {self.skin_text()}".rstrip()

    def likeness_text(self) -> str:
        """Return the distance by each encoder, such as `dlib 0.41, others 0.83`."""
        texts = []
        for each in self.likeness:
            texts.append(f"{each.encoder} {each.distance:.2f}")
            texts += [] if each.other_person is None else [f"others {each.other_person:.2f}"]
        return ", ".join(texts)

    def skin_text(self) -> str:
        """Return the difference of the skin, such as `skin L +2.1 hue -3.0 chroma 1.08`."""
        if self.skin is None:
            return ""
        text = f"skin L {self.skin.lightness:+.1f}"
        text += "" if self.skin.hue_degrees is None else f" hue {self.skin.hue_degrees:+.1f}"
        return text + ("" if self.skin.chroma_share is None else f" chroma {self.skin.chroma_share:.2f}")


@dataclass
class PersonFigures:
    """The figures of one person. `problem` says why there are no pictures."""

    person: int
    photos: int
    problem: str | None = None
    pictures: list[PictureFigures] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return bool(self.pictures) and all(picture.accepted for picture in self.pictures)


@dataclass
class ProofReport:
    """Everything that `prove` measured.

    Attributes:
        engine: name of the engine.
        settings: settings of the engine that matter for its pictures.
        people: figures of each person.
        seconds: time per stage.
        memory: peak memory in GB.
        machine: versions and GPUs.
        error: error that ended the run, or None.
    """

    engine: str
    settings: dict[str, object]
    people: list[PersonFigures]
    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, object] = field(default_factory=dict)
    machine: dict[str, object] = field(default_factory=dict)
    error: dict[str, object] | None = None

    @property
    def passed(self) -> bool:
        """Return True if every person has pictures, and the quality gate accepts all of them."""
        return self.error is None and all(person.passed for person in self.people)

    @property
    def pictures(self) -> list[PictureFigures]:
        return [picture for person in self.people for picture in person.pictures]

    def as_json(self) -> dict[str, object]:
        """Return the report as values that can be written as JSON."""
        return {
            "engine": self.engine,
            "passed": self.passed,
            "pictures": len(self.pictures),
            "accepted": sum(picture.accepted for picture in self.pictures),
            "reasons": dict(Counter(reason for picture in self.pictures for reason in picture.reasons)),
            "settings": self.settings,
            "people": [_rounded(asdict(person)) for person in self.people],
            "seconds": {name: round(spent, 2) for name, spent in self.seconds.items()},
            "peak_gigabytes": self.memory,
            "machine": self.machine,
            "error": self.error,
        }

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        accepted = sum(picture.accepted for picture in self.pictures)
        lines = [f"{self.engine}: {accepted} of {len(self.pictures)} pictures accepted"]
        for person in self.people:
            photos = "1 photo" if person.photos == 1 else f"{person.photos} photos"
            lines.append(f"person {person.person} ({photos}){f': {person.problem}' if person.problem else ''}")
            lines += [f"  {picture.line()}" for picture in person.pictures]
        if self.error:
            lines.append(f"error: {self.error['type']}: {self.error['message']}")
            lines += [f"  at {call}" for call in _texts(self.error["calls"])]
        seconds = {name: round(spent, 2) for name, spent in self.seconds.items()}
        for title, values in (
            ("seconds", seconds),
            ("peak memory in GB", self.memory),
            ("settings", self.settings),
            ("machine", self.machine),
        ):
            lines += [title, *(f"  {name:18} {_text(value)}" for name, value in values.items())]
        return lines


def describe_error(error: BaseException, names: Mapping[str, str]) -> dict[str, object]:
    """Return type, message and innermost calls of an error. Paths start at the package."""
    calls = []
    for frame in traceback.extract_tb(error.__traceback__)[-CALLS:]:
        path = Path(frame.filename)
        packages = [index for index, part in enumerate(path.parts) if part in {"site-packages", "pipeline"}]
        shown = "/".join(path.parts[packages[-1] :]) if packages else path.name
        calls.append(f"{shown}:{frame.lineno} in {frame.name}")
    return {"type": type(error).__name__, "message": anonymize(str(error), names), "calls": calls}


def anonymize(text: str, names: Mapping[str, str]) -> str:
    """Replace these names, the folders of absolute paths, and email addresses.

    names: replacements, such as "photo 1 of person 2", by the text that must not be reported."""
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", lambda found: names[found[0]], text)
    return FOLDERS.sub("…/", EMAIL.sub("EMAIL", text))


def _rounded(value: object) -> object:
    """Round the numbers in a nested value to three decimals."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(float(value), 3) if isinstance(value, float) else value


def _texts(values: object) -> Sequence[str]:
    return values if isinstance(values, list) else []


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
