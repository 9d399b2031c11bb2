from collections import Counter
from dataclasses import replace

import pytest

from pipeline.engines.studio.sets import OWN_BACKGROUND, SETS
from pipeline.styles.rules import is_plain_color
from pipeline.styles.shot_list import (
    COMBINATIONS,
    choose_replacement,
    load_styles,
    min_styles,
    plan_shots,
    reframe,
    reshoot,
)
from pipeline.types import Framing, Light


def test_there_are_at_least_sixteen_looks_and_the_promised_four_among_them():
    names = [style.name for style in load_styles()]

    assert len(names) >= 16
    assert {"corporate", "executive", "outdoor", "bw"} <= set(names)
    assert len(set(names)) == len(names)


def test_every_look_has_words_for_people_and_a_set_that_exists():
    for style in load_styles():
        assert style.title
        assert style.description
        assert style.set in {*SETS, OWN_BACKGROUND} or is_plain_color(style.set)


def test_no_two_looks_share_a_set():
    sets = [style.set for style in load_styles()]

    assert len(set(sets)) == len(sets)


def test_looks_take_turns_and_each_shot_has_its_own_seed():
    styles = load_styles()[:4]

    shots = plan_shots(styles, 50, seed=11)

    assert [shot.index for shot in shots] == list(range(50))
    assert set(Counter(shot.style.name for shot in shots).values()) == {12, 13}
    assert len({shot.seed for shot in shots}) == 50
    assert all(0 <= shot.seed < 2**31 for shot in shots)


@pytest.mark.parametrize("looks", [5, 10, 3])
def test_no_two_of_fifty_shots_share_set_framing_and_light(looks):
    shots = plan_shots(load_styles()[:looks], 50, seed=11)

    assert len({(shot.style.set, shot.framing, shot.light) for shot in shots}) == 50


def test_looks_that_share_a_set_share_its_turns_too():
    navy, linen = load_styles()[6:8]
    on_the_same_set = replace(linen, set=navy.set)

    shots = plan_shots([navy, on_the_same_set], 20, seed=11)

    assert len({(shot.style.set, shot.framing, shot.light) for shot in shots}) == 20
    with pytest.raises(ValueError, match="2 styles make 20 distinct shots, not 21"):
        plan_shots([navy, on_the_same_set], 21, seed=11)


def test_the_first_turn_shows_the_looks_as_they_are():
    for shot in plan_shots(load_styles(), 10, seed=4):
        assert (shot.framing, shot.light) == (Framing.CLASSIC, Light.KEY)


def test_more_shots_than_can_differ_are_refused():
    with pytest.raises(ValueError, match="1 styles make 20 distinct shots, not 50"):
        plan_shots(load_styles()[:1], 50, seed=1)


@pytest.mark.parametrize("count", [1, 20, 21, 50])
def test_the_fewest_looks_are_enough_and_one_less_is_not(count):
    styles, fewest = load_styles(), min_styles(count)

    assert len(plan_shots(styles[:fewest], count, 1)) == count
    with pytest.raises(ValueError, match="style"):
        plan_shots(styles[: fewest - 1], count, 1)


def test_the_same_seed_plans_the_same_shots_and_a_longer_pack_begins_like_a_shorter_one():
    styles = load_styles()

    assert plan_shots(styles, 12, seed=3) == plan_shots(styles, 12, seed=3)
    assert plan_shots(styles, 12, seed=3)[:5] == plan_shots(styles, 5, seed=3)
    assert plan_shots(styles, 12, seed=3) != plan_shots(styles, 12, seed=4)


def test_a_reshoot_keeps_look_and_place_and_changes_the_seed():
    shot = plan_shots(load_styles(), 3, seed=5)[2]

    again, once_more = reshoot(shot, 1), reshoot(shot, 2)

    assert (again.index, again.style) == (shot.index, shot.style)
    assert len({shot.seed, again.seed, once_more.seed}) == 3
    assert reshoot(shot, 1) == again
    assert reshoot(shot, 0) == shot


def test_a_shot_that_came_out_like_another_moves_to_a_place_its_set_has_not_had():
    shots = plan_shots(load_styles()[:1], 3, seed=5)
    taken = {(shot.framing, shot.light) for shot in shots}

    moved = reframe(shots[1], 1, taken)

    assert (moved.framing, moved.light) not in taken
    assert (moved.index, moved.style) == (shots[1].index, shots[1].style)
    assert moved.seed != shots[1].seed


def test_where_no_place_is_left_a_moved_shot_has_a_new_seed_alone():
    shot = plan_shots(load_styles(), 1, seed=5)[0]

    moved = reframe(shot, 1, set(COMBINATIONS))

    assert moved == reshoot(shot, 1)


def test_another_look_stands_in_with_a_place_its_set_has_not_had():
    shots = plan_shots(load_styles()[:2], 6, seed=5)

    other = choose_replacement(shots[0], 2, shots)

    assert other.style == shots[1].style
    assert other.index == shots[0].index
    assert other.seed not in {shot.seed for shot in shots}
    assert all(
        (other.framing, other.light) != (shot.framing, shot.light) for shot in shots if shot.style == other.style
    )


def test_the_own_look_stands_in_when_it_is_the_only_one_and_nobody_when_all_places_are_taken():
    (style,) = load_styles()[:1]

    shots = plan_shots([style], 3, seed=5)
    full = plan_shots([style], len(COMBINATIONS), seed=5)

    assert choose_replacement(shots[0], 2, shots).style == style
    assert choose_replacement(full[0], 2, full) is None


def test_a_shot_list_needs_a_style():
    with pytest.raises(ValueError, match="style"):
        plan_shots((), 4, seed=1)
