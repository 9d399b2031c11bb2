"""Pure: the words and scales of a shot. Every word comes from looks.toml, or from the operator who made a look of
their own; none that a customer typed gets in."""

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pipeline.errors import EngineUnavailable
from pipeline.types import Person, Shot

LOOKS_FILE = Path(__file__).with_name("looks.toml")


@dataclass(frozen=True)
class Look:
    """A look in words: `prompt` holds {person} and {outfit}; scales as in `conditions.Conditions`."""

    prompt: str
    negative: str
    guidance_scale: float
    control_scale: float
    adapter_scale: float
    control_end: float = 1.0


# What a style may say itself.
_OWN = ("prompt", "negative", "guidance_scale", "control_scale", "adapter_scale")


@cache
def load_looks() -> dict[str, Look]:
    """Every look that has words, by its style's name."""
    table = tomllib.loads(LOOKS_FILE.read_text("utf-8"))
    return {name: Look(**{**table["defaults"], **entry}) for name, entry in table["look"].items()}


def look_for(shot: Shot) -> Look:
    """The words of the shot's style: its own, and what it leaves open from looks.toml.

    Raises EngineUnavailable when neither has a prompt: nothing is made up."""
    style = shot.style
    look = load_looks().get(style.name)
    if look is None:
        if not style.prompt:
            raise EngineUnavailable(f"The look {style.name} has no words for a prompt, nor has {LOOKS_FILE.name}.")
        look = Look(prompt=style.prompt, **tomllib.loads(LOOKS_FILE.read_text("utf-8"))["defaults"])
    own = {name: getattr(style, name) for name in _OWN}
    return replace(look, **{name: value for name, value in own.items() if value})


def prompts_for(shot: Shot) -> tuple[str, str]:
    """Prompt and negative prompt of a shot. Black and white stays out of both: it is rendered in color."""
    look, person = look_for(shot), shot.person
    words = _words()
    outfit = words["outfit"][person.outfit] if person.outfit else words["extras"]["no_outfit"]
    return look.prompt.format(person=describe_person(person), outfit=outfit), look.negative


def describe_person(person: Person) -> str:
    """A noun phrase of what the person said and nothing else."""
    words = _words()
    noun = words["kind"][person.kind]
    if person.age:
        noun += " " + words["age"][person.age].format(their=words["their"][person.kind])
    phrase = [noun]
    # Under a headscarf no hair shows.
    if person.hair and not person.headscarf:
        phrase.append(words["hair"][person.hair])
    if person.glasses:
        phrase.append(words["extras"]["glasses"])
    if person.headscarf:
        phrase.append(words["extras"]["headscarf"])
    return ", ".join(phrase)


@cache
def _words() -> dict[str, dict[str, str]]:
    words: dict[str, dict[str, str]] = tomllib.loads(LOOKS_FILE.read_text("utf-8"))["words"]
    return words
