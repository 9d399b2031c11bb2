"""Looks by name on the command line, and plain colors instead of a name."""

import pytest

from pipeline.commands import CommandFailed
from pipeline.commands.make import choose_styles


def test_a_hex_color_is_the_brand_look_in_this_color():
    (navy,), (orange, corporate) = choose_styles(["brand"]), choose_styles(["#FF6600", "corporate"])

    assert (orange.name, orange.set, corporate.name) == ("color-ff6600", "#ff6600", "corporate")
    assert (orange.key_light, orange.contrast) == (navy.key_light, navy.contrast)


@pytest.mark.parametrize("name", ["#ff660", "#ff66001", "ff6600", "#gg6600", "beach"])
def test_an_unknown_look_is_named(name):
    with pytest.raises(CommandFailed, match=name):
        choose_styles([name])
