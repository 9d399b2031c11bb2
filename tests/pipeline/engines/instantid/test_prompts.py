"""Prompts: the words of a look and what the person chose from closed lists, nothing else."""

import itertools
import subprocess
import sys
from dataclasses import replace

import pytest

from pipeline.engines.instantid.looks import describe_subject, load_prompt_styles, prompts_for
from pipeline.errors import EngineUnavailable
from pipeline.styles.shot_list import load_styles
from pipeline.types import AgeBand, Hair, Outfit, PersonKind, SelfDescription, Shot, StyleSpec

# CLIP reads 77 tokens, two of which are marks; common English words are about 1.3 tokens each.
MAX_WORDS = 58


def test_every_built_in_look_has_words():
    for style in load_styles():
        prompt, negative = prompts_for(Shot(0, style, 1))
        assert "a person" in prompt
        assert negative
    assert len({prompts_for(Shot(0, style, 1))[0] for style in load_styles()}) == len(load_styles())


def test_a_look_without_words_is_refused_instead_of_made_up():
    with pytest.raises(EngineUnavailable, match="velvet"):
        prompts_for(Shot(0, StyleSpec("velvet", "Velvet"), 1))


def test_nothing_is_said_of_a_person_who_said_nothing():
    assert describe_subject(SelfDescription()) == "a person"


def test_what_a_person_said_stands_in_the_prompt():
    person = SelfDescription(PersonKind.WOMAN, AgeBand.FORTIES, Hair.LONG_DARK, glasses=True, outfit=Outfit.BLOUSE)

    prompt, _ = prompts_for(Shot(0, load_styles()[0], 1, person))

    assert "a woman in her forties, with long dark hair, wearing glasses" in prompt
    assert "wearing an elegant blouse" in prompt


def test_under_a_headscarf_no_hair_is_named():
    person = SelfDescription(PersonKind.WOMAN, hair=Hair.LONG_DARK, headscarf=True)

    assert describe_subject(person) == "a woman, wearing a headscarf"


def test_every_choice_of_the_closed_lists_has_words_and_fits_the_encoder():
    choices = itertools.chain(
        (SelfDescription(kind, age) for kind in PersonKind for age in AgeBand),
        (SelfDescription(hair=hair) for hair in Hair),
        (SelfDescription(outfit=outfit) for outfit in Outfit),
    )
    longest = SelfDescription(PersonKind.PERSON, AgeBand.SEVENTIES, Hair.LONG_GRAY, glasses=True, outfit=Outfit.SUIT)
    for person in (*choices, longest):
        for style in load_styles():
            prompt, negative = prompts_for(Shot(0, style, 1, person))
            assert "{" not in prompt
            assert max(len(prompt.split()), len(negative.split())) <= MAX_WORDS


def test_black_and_white_is_not_asked_for_in_words():
    for style in load_styles():
        prompt, _ = prompts_for(Shot(0, replace(style, monochrome=True), 1))
        assert "black and white" not in prompt
        assert "monochrome" not in prompt


def test_scales_stay_where_likeness_survives():
    for look in load_prompt_styles().values():
        assert 3 <= look.guidance_scale <= 5
        assert 0.6 <= look.adapter_scale <= 1
        assert 0.6 <= look.control_scale <= 1


def test_naming_the_engine_loads_no_heavy_package():
    code = (
        "import sys; import pipeline.engines.instantid, pipeline.engines.instantid.config, "
        "pipeline.engines.instantid.looks, pipeline.upscaling.upscale; "
        "print(sorted({'torch', 'cv2', 'diffusers', 'onnxruntime'} & set(sys.modules)))"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "[]"
