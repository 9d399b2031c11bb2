"""What a look may say."""

from dataclasses import asdict, fields

import pytest

from pipeline.engines.instantid.looks import get_prompt_style, load_prompt_styles, prompts_for
from pipeline.engines.studio.sets import OWN_BACKGROUND
from pipeline.engines.studio.sets import SETS as PAINTED
from pipeline.errors import EngineUnavailable
from pipeline.styles.rules import SCALES, SETS, recipe_faults
from pipeline.styles.shot_list import load_styles
from pipeline.types import Shot, StyleSpec


def test_the_sets_are_those_that_the_studio_has() -> None:
    assert set(SETS) == {*PAINTED, OWN_BACKGROUND}


def test_the_rules_know_every_word_of_a_style() -> None:
    words = {field.name for field in fields(StyleSpec)} - {"name", "title", "description"}

    assert words == {"set", "key_light", "monochrome", "prompt", "negative", *SCALES}


@pytest.mark.parametrize("style", load_styles(), ids=lambda style: style.name)
def test_the_built_in_looks_keep_the_rules(style: StyleSpec) -> None:
    recipe = {key: value for key, value in asdict(style).items() if key not in {"name", "title", "description"}}

    assert recipe_faults(recipe) == {}
    assert recipe_faults({"prompt": load_prompt_styles()[style.name].prompt}) == {}


@pytest.mark.parametrize(
    ("recipe", "where"),
    [
        ({"set": "beach"}, "set"),
        ({"set": "#12345"}, "set"),
        ({"set": "#1b3a5c\n"}, "set"),
        ({"set": 7}, "set"),
        ({"color": "red"}, "color"),
        ({"key": -0.1}, "key"),
        ({"key": 1.1}, "key"),
        ({"key": None}, "key"),
        ({"key": "0.5"}, "key"),
        ({"key": True}, "key"),
        ({"vignette": float("nan")}, "vignette"),
        ({"guidance_scale": 0.5}, "guidance_scale"),
        ({"monochrome": "yes"}, "monochrome"),
        ({"key_light": [0, 0]}, "key_light"),
        ({"key_light": [0, 0, -0.5]}, "key_light"),
        ({"key_light": [0, 2, 0.5]}, "key_light"),
        ({"key_light": "left"}, "key_light"),
        ({"prompt": "a portrait"}, "prompt"),
        ({"prompt": "{person} and {person}"}, "prompt"),
        ({"prompt": "{person} {0}"}, "prompt"),
        ({"prompt": "{person} {person.__class__}"}, "prompt"),
        ({"prompt": "{person} {"}, "prompt"),
        ({"prompt": "{person} " + "word " * 60}, "prompt"),
        ({"negative": "{person}"}, "negative"),
        ({"negative": 3}, "negative"),
    ],
)
def test_what_no_engine_could_take_is_refused_where_it_stands(recipe: dict[str, object], where: str) -> None:
    assert list(recipe_faults(recipe)) == [where]


def test_scales_of_the_drawing_engine_may_be_left_open() -> None:
    assert recipe_faults({"guidance_scale": None, "control_scale": None, "adapter_scale": None}) == {}


def test_a_look_of_the_operators_own_brings_its_words() -> None:
    style = StyleSpec(name="vineyard", title="Vineyard", prompt="photo of {person} among vines", guidance_scale=3.0)

    look = get_prompt_style(Shot(0, style, seed=1))

    assert prompts_for(Shot(0, style, seed=1))[0] == "photo of a person among vines"
    assert look.guidance_scale == 3.0
    assert look.negative == load_prompt_styles()["corporate"].negative


def test_words_replace_those_that_are_built_in_and_the_rest_stays() -> None:
    built_in = load_prompt_styles()["corporate"]

    look = get_prompt_style(Shot(0, StyleSpec(name="corporate", title="Corporate", negative="hats"), seed=1))

    assert look.negative == "hats"
    assert look.prompt == built_in.prompt


def test_a_look_without_words_anywhere_is_not_drawn() -> None:
    with pytest.raises(EngineUnavailable, match="vineyard has no prompt"):
        get_prompt_style(Shot(0, StyleSpec(name="vineyard", title="Vineyard"), seed=1))
