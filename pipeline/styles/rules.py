"""Validate the definition (recipe) of a style before pictures are rendered with it. Pure functions."""

import math
import re
from collections.abc import Mapping

# Backdrops that engines/studio/sets.py paints, and the photo's own background (natural).
SETS = (
    "corporate", "executive", "navy", "slate", "bright", "linen", "park", "office", "city", "natural",
    "lobby", "library", "loft", "coast", "hills", "terrace",
)  # fmt: skip
# Smallest and largest value of each scale. Only generative engines use the last three. None selects their built-in
# value.
SCALES: Mapping[str, tuple[float, float]] = {
    "key": (0.0, 1.0),
    "rim": (0.0, 1.0),
    "wrap": (0.0, 1.0),
    "tint": (0.0, 1.0),
    "contrast": (0.0, 1.0),
    "saturation": (0.0, 1.5),
    "vignette": (0.0, 1.0),
    "guidance_scale": (1.0, 12.0),
    "control_scale": (0.1, 1.5),
    "adapter_scale": (0.1, 1.5),
}
OPTIONAL = frozenset({"guidance_scale", "control_scale", "adapter_scale"})
# A text encoder reads 77 tokens. The person's self-description needs some of them.
MAX_WORDS = 60
_PLAIN_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_PLACES = re.compile(r"\{([^{}]*)\}")


def recipe_faults(recipe: Mapping[str, object]) -> dict[str, str]:
    """Return the faults in the definition of a style: one sentence per field.

    Returns an empty dictionary if the definition is valid."""
    known = {"set", "key_light", "monochrome", "prompt", "negative", *SCALES}
    faults = {name: "Looks have no such field." for name in recipe if name not in known}
    backdrop = recipe.get("set", SETS[0])
    if backdrop not in SETS and not is_plain_color(backdrop):
        faults["set"] = f"Unknown set. Choose one of: {', '.join(SETS)}, or a plain color such as #1b3a5c."
    if not isinstance(recipe.get("monochrome", False), bool):
        faults["monochrome"] = "Must be true or false."
    for name, (least, most) in SCALES.items():
        value = recipe.get(name)
        missing = value is None and (name not in recipe or name in OPTIONAL)
        if not missing and not (_is_number(value) and least <= float(str(value)) <= most):
            faults[name] = f"Must be a number from {least:g} to {most:g}."
    if fault := _light_fault(recipe.get("key_light", (0.0, 0.0, 1.0))):
        faults["key_light"] = fault
    for name in ("prompt", "negative"):
        if fault := _words_fault(recipe.get(name, ""), is_prompt=name == "prompt"):
            faults[name] = fault
    return faults


def is_plain_color(name: object) -> bool:
    """Return True if the name of a set is a hex color: a plain wall in this color."""
    return isinstance(name, str) and _PLAIN_COLOR.fullmatch(name) is not None


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    # math.isfinite raises OverflowError for very large whole numbers.
    return isinstance(value, int) or math.isfinite(value)


def _light_fault(light: object) -> str:
    if not isinstance(light, list | tuple) or len(light) != 3 or not all(_is_number(each) for each in light):
        return "Must be three numbers: right, down, toward the viewer."
    if not all(-1 <= each <= 1 for each in light):
        return "Each number must be between -1 and 1."
    return "" if light[2] > 0 else "The third number must be above 0, because light comes from the viewer's side."


def _words_fault(text: object, *, is_prompt: bool) -> str:
    if not isinstance(text, str):
        return "Must be text."
    if not text:
        return ""
    if "\0" in text:
        return "The text must not contain null characters."
    if len(text.split()) > MAX_WORDS:
        return f"Has {len(text.split())} words. At most {MAX_WORDS} are allowed."
    places = _PLACES.findall(text)
    allowed = {"person", "outfit"} if is_prompt else set()
    strange = sorted(set(places) - allowed)
    if strange or "{" in _PLACES.sub("", text) or "}" in _PLACES.sub("", text):
        return "Only {person} and {outfit} are allowed in braces." if is_prompt else "Must not contain braces."
    if is_prompt and (places.count("person") != 1 or places.count("outfit") > 1):
        return "Must contain {person} once, and {outfit} at most once."
    return ""
