"""Prompts: the words of a look and what the person chose from closed lists, nothing else."""

import itertools
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from functools import cache

import pytest

from pipeline.engines.instantid.looks import (
    MAX_FACE_HEIGHT,
    MIN_FACE_HEIGHT,
    PROMPTS_FILE,
    describe_subject,
    frame_pose,
    load_framing_styles,
    load_prompt_styles,
    prompts_for,
)
from pipeline.engines.instantid.poses import POSES
from pipeline.errors import EngineUnavailable
from pipeline.styles.shot_list import COMBINATIONS, load_styles, plan_shots, reframe
from pipeline.types import AgeBand, Framing, Hair, Light, Outfit, PersonKind, SelfDescription, Shot, StyleSpec
from tests.helpers.clip_tokens import count_tokens

# Both text encoders read this many tokens, and drop the rest.
MAX_TOKENS = 77
OUTDOORS = {"park", "beach", "street", "hills", "terrace", "outdoor"}
WORDS = tomllib.loads(PROMPTS_FILE.read_text("utf-8"))["words"]


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


def test_a_beard_is_asked_for_where_a_person_has_said_so():
    assert describe_subject(SelfDescription(PersonKind.MAN, beard=True)) == "a man, with a beard"


def test_under_a_headscarf_no_hair_is_named():
    person = SelfDescription(PersonKind.WOMAN, hair=Hair.LONG_DARK, headscarf=True)

    assert describe_subject(person) == "a woman, wearing a headscarf"


def people() -> list[SelfDescription]:
    """Everybody who chooses one answer, and those who choose the longest answer to every question."""
    choices = [
        *(SelfDescription(kind, age) for kind in PersonKind for age in AgeBand),
        *(SelfDescription(hair=hair) for hair in Hair),
        *(SelfDescription(outfit=outfit) for outfit in Outfit),
    ]
    longest = SelfDescription(
        max(PersonKind, key=lambda kind: count_tokens(WORDS["kind"][kind] + " " + WORDS["their"][kind])),
        max(AgeBand, key=lambda age: count_tokens(WORDS["age"][age])),
        max(Hair, key=lambda hair: count_tokens(WORDS["hair"][hair])),
        beard=True,
        glasses=True,
        outfit=max(Outfit, key=lambda outfit: count_tokens(WORDS["outfit"][outfit])),
    )
    return [*choices, longest, replace(longest, headscarf=True)]


def test_every_choice_of_the_closed_lists_has_words():
    for person in people():
        for style in load_styles():
            assert "{" not in prompts_for(Shot(0, style, 1, person))[0]
    assert set(WORDS["light"]) == set(Light)
    assert set(load_framing_styles()) == set(Framing)


def test_the_longest_prompts_fit_the_encoders():
    framing = max(Framing, key=lambda each: count_tokens(load_framing_styles()[each].words))
    for style in load_styles():
        for light in Light:
            for person in people()[-2:]:
                prompt, negative = prompts_for(Shot(0, style, 1, person, framing=framing, light=light))
                assert count_tokens(prompt) <= MAX_TOKENS, prompt
                assert count_tokens(negative) <= MAX_TOKENS


@cache
def every_prompt() -> list[tuple[str, str]]:
    shots = (
        Shot(0, style, 1, person, framing=framing, light=light)
        for style in load_styles()
        for person in (SelfDescription(), people()[-1])
        for framing in Framing
        for light in Light
    )
    return [prompts_for(shot) for shot in shots]


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def test_nothing_is_both_asked_for_and_excluded():
    small = {"of", "a", "out", "two"}
    for prompt, negative in every_prompt():
        excluded = {part.strip() for part in negative.split(",")}
        assert not excluded & {part.strip() for part in prompt.split(",")}
        # "out of focus" is asked for, "out of frame" is not.
        assert words_of(prompt) & words_of(negative) <= small, prompt


def test_what_people_can_say_of_themselves_is_never_excluded():
    said = set().union(*(words_of(text) for name in ("kind", "age", "hair", "outfit") for text in WORDS[name].values()))
    said |= set().union(*(words_of(text) for text in WORDS["extras"].values()))
    for look in load_prompt_styles().values():
        assert not words_of(look.negative) & (said - {"a", "in"})
        assert {"nsfw", "nude"} <= words_of(look.negative)


@pytest.mark.parametrize(
    "opposites",
    [
        ({"studio", "office", "room", "lobby", "shelves", "backdrop"}, OUTDOORS),
        ({"window"}, OUTDOORS),
        ({"front", "frontal"}, {"side"}),
        ({"front", "frontal"}, {"above"}),
        ({"low"}, {"above"}),
        ({"left"}, {"right"}),
        ({"tight", "close"}, {"wide"}),
        ({"dark", "night", "evening"}, {"sunny", "daylight", "morning"}),
        ({"dramatic", "strong"}, {"even"}),
    ],
)
def test_no_prompt_contradicts_itself(opposites):
    one, other = opposites
    for prompt, _ in every_prompt():
        # Clothes and hair may be dark in daylight, and a glass front is a place.
        scene = re.sub(r"(wearing|with) [^,]*,|glass front", "", prompt)
        assert not (words_of(scene) & one and words_of(scene) & other), prompt


def test_light_and_framing_of_a_shot_change_its_prompt():
    for style in load_styles():
        prompts = {prompts_for(Shot(0, style, 1, framing=framing, light=light))[0] for framing, light in COMBINATIONS}
        assert len(prompts) == len(COMBINATIONS)


def test_a_near_duplicate_is_moved_by_its_prompt_and_its_pose():
    shot = plan_shots(load_styles()[:1], 1, seed=1)[0]

    moved = reframe(shot, 1, {(shot.framing, shot.light)})

    assert prompts_for(moved)[0] != prompts_for(shot)[0]
    assert frame_pose(POSES[0], moved.framing) != frame_pose(POSES[0], shot.framing)


def test_framed_poses_keep_the_face_at_the_right_size_and_in_the_picture():
    for pose, framing in itertools.product(POSES, Framing):
        framed = frame_pose(pose, framing)
        assert MIN_FACE_HEIGHT <= framed.face_height <= MAX_FACE_HEIGHT
        assert 0.38 <= framed.x <= 0.62
    assert frame_pose(POSES[0], Framing.CLASSIC) == POSES[0]


def test_a_prompt_of_the_operator_keeps_its_own_light_unless_the_shot_changes_it():
    style = StyleSpec("corporate", "Corporate", prompt="photo of {person} in candle light")

    own, changed = (prompts_for(Shot(0, style, 1, light=light))[0] for light in (Light.KEY, Light.SIDE))

    assert own == "photo of a person in candle light"
    assert changed == "photo of a person in candle light, soft light from one side"


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
