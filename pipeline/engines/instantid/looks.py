"""Build the prompts and scales of a shot.

All words come from looks.toml or from a style that the operator defined. Text that a customer typed is never used.
"""

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pipeline.errors import EngineUnavailable
from pipeline.types import SelfDescription, Shot

PROMPTS_FILE = Path(__file__).with_name("looks.toml")


@dataclass(frozen=True)
class PromptStyle:
    """A style for prompts: words and scales.

    Attributes:
        prompt: prompt with the placeholders {person} and {outfit}.
        negative: negative prompt.
        guidance_scale, control_scale, adapter_scale, control_end: see `conditions.Conditions`.
    """

    prompt: str
    negative: str
    guidance_scale: float
    control_scale: float
    adapter_scale: float
    control_end: float = 1.0


# Fields that a StyleSpec can override.
_OWN = ("prompt", "negative", "guidance_scale", "control_scale", "adapter_scale")


@cache
def load_prompt_styles() -> dict[str, PromptStyle]:
    """Return all styles of looks.toml, by name."""
    table = tomllib.loads(PROMPTS_FILE.read_text("utf-8"))
    return {name: PromptStyle(**{**table["defaults"], **entry}) for name, entry in table["look"].items()}


def get_prompt_style(shot: Shot) -> PromptStyle:
    """Return the words and scales of the shot's style. looks.toml supplies the values that the style leaves empty.

    Raises EngineUnavailable if neither has a prompt."""
    style = shot.style
    prompt_style = load_prompt_styles().get(style.name)
    if prompt_style is None:
        if not style.prompt:
            raise EngineUnavailable(f"The look {style.name} has no prompt, and neither has {PROMPTS_FILE.name}.")
        prompt_style = PromptStyle(prompt=style.prompt, **tomllib.loads(PROMPTS_FILE.read_text("utf-8"))["defaults"])
    own = {name: getattr(style, name) for name in _OWN}
    return replace(prompt_style, **{name: value for name, value in own.items() if value})


def prompts_for(shot: Shot) -> tuple[str, str]:
    """Return the prompt and the negative prompt of a shot.

    The prompts never mention black and white, because monochrome shots are rendered in color and converted."""
    prompt_style, self_description = get_prompt_style(shot), shot.self_description
    words = _prompt_words()
    outfit = words["outfit"][self_description.outfit] if self_description.outfit else words["extras"]["no_outfit"]
    return prompt_style.prompt.format(person=describe_subject(self_description), outfit=outfit), prompt_style.negative


def describe_subject(self_description: SelfDescription) -> str:
    """Describe the person as a noun phrase for the prompt."""
    words = _prompt_words()
    noun = words["kind"][self_description.kind]
    if self_description.age:
        noun += " " + words["age"][self_description.age].format(their=words["their"][self_description.kind])
    phrase = [noun]
    # A headscarf covers the hair.
    if self_description.hair and not self_description.headscarf:
        phrase.append(words["hair"][self_description.hair])
    if self_description.glasses:
        phrase.append(words["extras"]["glasses"])
    if self_description.headscarf:
        phrase.append(words["extras"]["headscarf"])
    return ", ".join(phrase)


@cache
def _prompt_words() -> dict[str, dict[str, str]]:
    words: dict[str, dict[str, str]] = tomllib.loads(PROMPTS_FILE.read_text("utf-8"))["words"]
    return words
