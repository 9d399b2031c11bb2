"""Build the prompts and scales of a shot, and frame its pose.

All words come from looks.toml or from a style that the operator defined. Text that a customer typed is never used.
"""

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pipeline.engines.instantid.poses import Pose
from pipeline.errors import EngineUnavailable
from pipeline.types import Framing, Light, SelfDescription, Shot

PROMPTS_FILE = Path(__file__).with_name("looks.toml")


@dataclass(frozen=True)
class PromptStyle:
    """A style for prompts: words and scales.

    Attributes:
        prompt: prompt with the placeholders {person} and {outfit}.
        negative: negative prompt.
        light: words for the light of shots that do not change it, or empty.
        guidance_scale, control_scale, adapter_scale, control_end: see `conditions.Conditions`.
    """

    prompt: str
    negative: str
    guidance_scale: float
    control_scale: float
    adapter_scale: float
    light: str = ""
    control_end: float = 1.0


@dataclass(frozen=True)
class FramingStyle:
    """What a framing changes in a picture.

    Attributes:
        words: words in the prompt, or empty.
        zoom: factor on the height of the face.
        shift: distance to the right, as a fraction of the picture's width.
    """

    words: str
    zoom: float = 1.0
    shift: float = 0.0


# Smallest and largest height of a face, as a fraction of the picture's height, in which InstantID works best (published
# practice).
MIN_FACE_HEIGHT, MAX_FACE_HEIGHT = 0.35, 0.50
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
    # A prompt of the operator also describes the light.
    light = "" if style.prompt else prompt_style.light
    return replace(prompt_style, light=light, **{name: value for name, value in own.items() if value})


def prompts_for(shot: Shot) -> tuple[str, str]:
    """Return the prompt and the negative prompt of a shot.

    The prompt ends with the light and the framing of the shot. The prompts never mention black and white, because
    monochrome shots are rendered in color and converted."""
    prompt_style, self_description = get_prompt_style(shot), shot.self_description
    words = _prompt_words()
    outfit = words["outfit"][self_description.outfit] if self_description.outfit else words["extras"]["no_outfit"]
    scene = prompt_style.prompt.format(person=describe_subject(self_description), outfit=outfit)
    light = prompt_style.light if shot.light is Light.KEY else words["light"][shot.light]
    parts = (scene, light, load_framing_styles()[shot.framing].words)
    return ", ".join(part for part in parts if part), prompt_style.negative


@cache
def load_framing_styles() -> dict[str, FramingStyle]:
    """Return what each framing changes, by its name."""
    table = tomllib.loads(PROMPTS_FILE.read_text("utf-8"))["framing"]
    return {name: FramingStyle(**entry) for name, entry in table.items()}


def frame_pose(pose: Pose, framing: Framing) -> Pose:
    """Return the pose with the face closer or moved aside, as the framing of a shot says.

    The face stays within the sizes in which InstantID works best."""
    style = load_framing_styles()[framing]
    height = min(MAX_FACE_HEIGHT, max(MIN_FACE_HEIGHT, pose.face_height * style.zoom))
    return replace(pose, face_height=height, x=pose.x + style.shift)


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
    if self_description.beard:
        phrase.append(words["extras"]["beard"])
    if self_description.glasses:
        phrase.append(words["extras"]["glasses"])
    if self_description.headscarf:
        phrase.append(words["extras"]["headscarf"])
    return ", ".join(phrase)


@cache
def _prompt_words() -> dict[str, dict[str, str]]:
    words: dict[str, dict[str, str]] = tomllib.loads(PROMPTS_FILE.read_text("utf-8"))["words"]
    return words
