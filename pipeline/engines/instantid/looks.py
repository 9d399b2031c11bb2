"""Build the prompts and scales of a shot.

Every word comes from looks.toml or from an operator's own style. No text that a customer typed is used.
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
    """A look in words and scales.

    `prompt` contains {person} and {outfit}. The scales are those of `conditions.Conditions`."""

    prompt: str
    negative: str
    guidance_scale: float
    control_scale: float
    adapter_scale: float
    control_end: float = 1.0


# Fields that a style can override.
_OWN = ("prompt", "negative", "guidance_scale", "control_scale", "adapter_scale")


@cache
def load_prompt_styles() -> dict[str, PromptStyle]:
    """Return every look of looks.toml by its style's name."""
    table = tomllib.loads(PROMPTS_FILE.read_text("utf-8"))
    return {name: PromptStyle(**{**table["defaults"], **entry}) for name, entry in table["look"].items()}


def get_prompt_style(shot: Shot) -> PromptStyle:
    """Return the words and scales of the shot's style, completed from looks.toml.

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
    """Return prompt and negative prompt of a shot.

    Neither mentions black and white, because such shots are rendered in color."""
    prompt_style, self_description = get_prompt_style(shot), shot.self_description
    words = _prompt_words()
    outfit = words["outfit"][self_description.outfit] if self_description.outfit else words["extras"]["no_outfit"]
    return prompt_style.prompt.format(person=describe_subject(self_description), outfit=outfit), prompt_style.negative


def describe_subject(self_description: SelfDescription) -> str:
    """Return a noun phrase of the person's self-description."""
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
