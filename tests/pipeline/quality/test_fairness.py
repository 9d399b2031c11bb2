"""The report on groups: shares with intervals, spreads, pairs, and the command that makes it all of a folder."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import main
from pipeline.quality.fairness import GateOutcome, LabeledPhoto, Share, Spread, summarize
from pipeline.quality.fairness_chart import draw_chart
from pipeline.quality.gate import Drift
from pipeline.types import Size, Status
from tests.helpers import photos


def face(person: float, wobble: float) -> np.ndarray:
    embedding = np.zeros(128, np.float32)
    embedding[:2] = person, wobble
    return embedding


def subject(group: str, person: str | None, status: Status, embedding=None, *outcomes: GateOutcome) -> LabeledPhoto:
    return LabeledPhoto(group, person, status, embedding is not None, embedding, outcomes)


def test_a_share_of_few_has_a_wide_interval():
    few, many = Share(9, 10), Share(900, 1000)

    assert few.value == many.value == 0.9
    assert few.interval == pytest.approx((0.596, 0.982), abs=0.001)  # Wilson's, as tables have it
    assert many.interval[1] - many.interval[0] < 0.04
    assert Share(0, 0).interval == (0.0, 1.0)
    assert math.isnan(Share(0, 0).value)


def test_groups_are_summed_up_each_by_itself():
    kept = GateOutcome(True, 0.2, Drift(1.0, 2.0, 1.0))
    lost = GateOutcome(False, 0.6, Drift(-9.0, None, 0.4))
    subjects = [
        subject("one", "a", Status.ACCEPTED, face(0, 0), kept, kept),
        subject("one", "a", Status.WARNED, face(0, 0.3), kept, lost),
        subject("one", "a", Status.ACCEPTED, face(0, 0.9)),
        subject("one", "b", Status.REFUSED, face(0.4, 0)),
        subject("two", None, Status.REFUSED),
    ]

    one, two = summarize(subjects)

    assert (one.group, one.photos, one.people) == ("one", 4, 2)
    assert (one.found, one.accepted, one.warned, one.refused) == (Share(4, 4), Share(2, 4), Share(1, 4), Share(1, 4))
    assert one.kept == Share(3, 4)
    assert one.missed == Share(2, 3)  # 0.9 and 0.6 apart, yet one person
    assert one.mistaken == Share(2, 3)  # 0.4 and 0.5 apart, yet two
    assert (one.distance.middle, one.lightness.middle, one.hue.middle) == (0.2, 1.0, 2.0)
    assert (two.found, two.kept, two.missed) == (Share(0, 1), Share(0, 0), Share(0, 0))
    assert math.isnan(two.distance.middle)


def test_the_chart_has_a_row_for_every_group_and_a_place_for_no_data():
    groups = summarize([subject(f"group {number}", None, Status.REFUSED) for number in range(6)])

    chart, one = draw_chart(groups), draw_chart(groups[:1])

    assert chart.height - one.height == 2 * 5 * 30
    assert len(chart.getcolors(100_000)) > 4


def test_the_chart_shows_values_and_intervals_where_its_axes_say():
    figures = replace(
        summarize([subject("group", None, Status.REFUSED)])[0],
        found=Share(3, 4),
        distance=Spread(0.3, 0.15, 0.45),
        lightness=Spread(0.0, -6.0, 30.0),
    )
    chart = np.asarray(draw_chart([figures]))
    mark, line = (27, 94, 132), (214, 216, 220)

    def columns(left: int, y: int, color: tuple[int, int, int]) -> list[int]:
        """Pixels of this color from the start of a panel's axis."""
        return [x for x in range(-10, 265) if tuple(chart[y, left + x]) == color]

    # Four panels of 250 px a row. A row of one group is 122 px high, and its marks are 76 px below its top.
    for left, y, value, low, high in [
        (214, 100, 187.5, 2.5 * 30.06, 2.5 * 95.44),
        (214 + 3 * 278, 100, 125, 62.5, 187.5),
        (214, 222, 125, 62.5, 250),
    ]:
        marked, thick = columns(left, y, mark), columns(left, y - 4, mark)
        assert (marked[0], marked[-1]) == (pytest.approx(low, abs=1), pytest.approx(high, abs=1))
        assert (thick[0] + thick[-1]) / 2 == pytest.approx(value, abs=1)
        assert len(thick) < 9
        assert columns(left, y - 18, line) == [0, 125, 250]


def test_the_command_makes_a_table_and_a_picture_without_a_name_in_them(
    tmp_path, capsys, weights, finder, embedder, monkeypatch
):
    monkeypatch.setattr("pipeline.commands.make.FaceFinder", lambda weights: finder)
    monkeypatch.setattr("pipeline.commands.make.FaceEmbedder", lambda weights: embedder)
    # A quarter of the pixels is enough to judge a headshot.
    monkeypatch.setattr("pipeline.commands.evaluate.SIZE", Size(448, 560))
    for name, pixels in (("tom", photos.halved(photos.obama())), ("ann", photos.astronaut()), ("cup", photos.coffee())):
        (tmp_path / f"{name}.jpg").write_bytes(photos.encode(pixels))
    (tmp_path / "two.jpg").write_bytes(photos.encode(photos.halved(photos.two_people())))
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8 torn")
    labels = "tom.jpg,men,tom,\ntwo.jpg,men,,0\nann.jpg,women,ann,\ncup.jpg,cups,,\ntorn.jpg,cups,,\n"
    (tmp_path / "labels.csv").write_text("file,group,person,face\n" + labels)

    status = main(["evaluate", str(tmp_path), "--groups", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "out"),
                   "--style", "corporate", "--json", "--weights", str(weights.directory)])  # fmt: skip

    assert status == 0
    cups, men, women = json.loads(capsys.readouterr().out)
    assert (cups["photos"], cups["found"]["count"], cups["distance"]["middle"]) == (2, 0, None)
    assert men["kept"] == {"count": 2, "of": 2}
    assert 0 < women["distance"]["middle"] < 0.3
    assert abs(women["lightness"]["middle"]) < 6
    table = (tmp_path / "out" / "evaluation.csv").read_text()
    assert [row["group"] for row in csv.DictReader(table.splitlines())] == ["cups", "men", "women"]
    assert not {"tom", "ann"} & set(table.replace(",", " ").split())
    assert Image.open(tmp_path / "out" / "evaluation.png").width > 1000


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ("file,group\nnot-there.jpg,men\n", "not-there.jpg: No such file"),
        ("file,person\na.jpg,a\n", "missing: group"),
        ("file,group\na.jpg,\n", "line 2"),
        ("file,group,face\na.jpg,men,left\n", "a number from 0"),
        ("file,group,face\nann.jpg,women,3\n", "no face 3"),
    ],
)
def test_labels_that_cannot_be_meant_are_refused_with_one_line(tmp_path, capsys, weights, labels, complaint):
    (tmp_path / "ann.jpg").write_bytes(photos.encode(photos.astronaut()))
    (tmp_path / "labels.csv").write_text(labels)

    status = main(
        ["evaluate", str(tmp_path), "--groups", str(tmp_path / "labels.csv"), "--weights", str(weights.directory)]
    )

    assert status == 3
    assert complaint in capsys.readouterr().err
