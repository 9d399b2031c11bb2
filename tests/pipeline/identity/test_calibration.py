"""From distance to probability: the fit, how far it is to be trusted, and the constants that ship with the product."""

import json
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.commands.calibrate import make_pairs, read_distances, read_rows
from pipeline.errors import PipelineError
from pipeline.identity.calibration import (
    DRAWS,
    Calibration,
    NotEnoughPairs,
    Pairs,
    built_in,
    calibrate,
    fit_logistic,
    load_calibration,
)
from pipeline.identity.likeness import ACCEPT_DISTANCE, SAME_PERSON_DISTANCE, likeness_score
from tests.helpers import photos

PAIRS_FILE = Path(__file__).parents[2] / "golden" / "likeness" / "pairs.csv"


@pytest.fixture(scope="module")
def real_pairs() -> Pairs:
    """4,851 pairs of 99 faces of 33 people: distances only."""
    rows = read_rows(PAIRS_FILE)
    return make_pairs(rows, [distance or 0.0 for distance in read_distances(rows)])


@pytest.fixture(scope="module")
def report(real_pairs: Pairs):
    """With a fifth of the draws of the command."""
    return calibrate(real_pairs, (ACCEPT_DISTANCE, SAME_PERSON_DISTANCE), draws=DRAWS // 5)


def planted_pairs(offset: float, slope: float, count: int = 20000) -> Pairs:
    """Pairs whose answers were thrown with that very probability."""
    rng = np.random.default_rng(3)
    distance = rng.uniform(0.2, 1.0, count)
    same = rng.random(count) < 1 / (1 + np.exp(slope * distance - offset))
    people = np.stack([np.arange(count) % 50, np.where(same, np.arange(count) % 50, (np.arange(count) + 1) % 50)], 1)
    return Pairs(distance, same, people)


def test_a_fit_finds_the_curve_that_threw_the_pairs():
    pairs = planted_pairs(offset=12, slope=20)

    offset, slope = fit_logistic(pairs, np.ones(len(pairs.same)))

    assert slope == pytest.approx(20, rel=0.06)
    # Balancing the two kinds moves the middle by the logarithm of their ratio.
    ratio = np.log((~pairs.same).sum() / pairs.same.sum())
    assert offset - ratio == pytest.approx(12, rel=0.06)


def test_what_is_said_is_what_is_seen():
    """Reliability on planted pairs: each bin's mean probability is the share that came true."""
    pairs = planted_pairs(offset=12, slope=20)

    rows = calibrate(pairs, (), draws=30).bins

    assert len(rows) == 10
    assert all(abs(row.predicted - row.observed) < 0.05 for row in rows), rows


def test_pairs_that_do_not_overlap_give_no_infinite_slope():
    distance = np.array([0.2, 0.3, 0.25, 0.8, 0.9, 1.0])
    pairs = Pairs(distance, distance < 0.5, np.array([[0, 0], [1, 1], [2, 2], [0, 1], [1, 2], [0, 2]]))

    _, slope = fit_logistic(pairs, np.ones(6))

    assert 2 < slope < 60


def test_fewer_people_may_claim_less(real_pairs):
    few = real_pairs.people.max(axis=1) < 6
    fewer = Pairs(real_pairs.distance[few], real_pairs.same[few], real_pairs.people[few])

    assert calibrate(fewer, (), draws=30).calibration.cap < 0.9 < calibrate(real_pairs, (), draws=30).calibration.cap


@pytest.mark.parametrize("kind", [True, False])
def test_pairs_of_one_kind_only_are_refused(real_pairs, kind):
    one_kind = real_pairs.same == kind

    with pytest.raises(NotEnoughPairs):
        calibrate(Pairs(real_pairs.distance[one_kind], real_pairs.same[one_kind], real_pairs.people[one_kind]), ())


def test_error_rates_of_the_pair_decision_do_not_get_worse(report):
    """The whole of the data: 199 pairs of one person, 4,652 of two. Intervals are over people, hence wide."""
    matches, misses = report.false_matches, report.false_refusals

    assert matches[ACCEPT_DISTANCE].value <= 0.0005
    assert matches[ACCEPT_DISTANCE].high <= 0.003
    assert misses[ACCEPT_DISTANCE].value <= 0.041
    assert misses[ACCEPT_DISTANCE].high <= 0.12
    assert matches[SAME_PERSON_DISTANCE].value <= 0.0007
    assert misses[SAME_PERSON_DISTANCE].value <= 0.011
    assert report.brier.value <= 0.0025


def test_the_constants_that_ship_are_near_those_of_fewer_draws(report):
    found, shipped = report.calibration, built_in()

    for distance in np.linspace(0.2, 1, 81):
        assert found.probability(distance) == pytest.approx(shipped.probability(distance), abs=0.01)
    assert found.cap == shipped.cap
    assert shipped.provenance["people"] == 33


def test_the_constants_that_ship_are_those_of_the_pairs_that_ship(real_pairs):
    found, shipped = calibrate(real_pairs, ()).calibration, built_in()

    assert found.offset == pytest.approx(shipped.offset, abs=0.01)
    assert found.slope == pytest.approx(shipped.slope, abs=0.01)
    assert found.cap == shipped.cap
    assert shipped.provenance["people"] == 33


def test_the_fit_is_never_surer_than_the_pairs(report):
    """Bins with pairs enough to tell: what is said is no higher above a half, no lower below, than what is seen."""
    for row in report.bins:
        if row.pairs >= 30:
            assert row.predicted <= row.observed + 0.01 if row.predicted > 0.5 else row.predicted >= row.observed


def test_photos_of_today_lie_where_the_pairs_say(finder, embedder):
    """The encoder itself, on the photos that every machine has: the same people as ever."""
    faces = [
        embedder.embed(pixels, finder.find(pixels)[0])
        for pixels in (photos.obama(), photos.obama_speaking(), photos.biden(), photos.astronaut())
    ]
    distances = [[float(np.linalg.norm(one - other)) for other in faces] for one in faces]

    assert distances[0][1] < 0.4
    assert likeness_score(distances[0][1]) >= 0.98
    assert min(distances[0][2], distances[1][2], distances[0][3], distances[1][3], distances[2][3]) > 0.7


def test_the_command_reads_photos_beside_the_file(tmp_path, capsys, weights, finder, embedder, monkeypatch):
    monkeypatch.setattr("pipeline.commands.calibrate.calibrate", partial(calibrate, draws=30))
    monkeypatch.setattr("pipeline.commands.inputs.FaceFinder", lambda weights: finder)
    monkeypatch.setattr("pipeline.commands.inputs.FaceEmbedder", lambda weights: embedder)
    (tmp_path / "c.jpg").write_bytes(photos.encode(photos.astronaut()))
    for name, pixels in (("a1", photos.obama()), ("a2", photos.obama_speaking()), ("b", photos.biden()),
                         ("two", photos.two_people())):  # fmt: skip
        (tmp_path / f"{name}.jpg").write_bytes(photos.encode(photos.halved(pixels)))
    (tmp_path / "c2.jpg").write_bytes(photos.encode(photos.astronaut()[:, ::-1]))
    pairs = "a1.jpg,a2.jpg,yes\na1.jpg,b.jpg,no\na2.jpg,c.jpg,no\nb.jpg,c.jpg,no\nc.jpg,c2.jpg,yes\na1.jpg,two.jpg,no\n"
    (tmp_path / "pairs.csv").write_text("one,other,same\n" + pairs)
    out = tmp_path / "mine.toml"

    status = main(["calibrate", str(tmp_path / "pairs.csv"), "--out", str(out), "--source", 'a "test"', "--json",
                   "--weights", str(weights.directory)])  # fmt: skip

    printed = capsys.readouterr()
    assert status == 0
    assert json.loads(printed.out)["same_pairs"] == 2
    assert "Skipped 1 of 6 pairs" in printed.err
    mine = load_calibration(out)
    assert mine.provenance["source"] == 'a "test"'
    # Three people: next to nothing may be claimed.
    assert mine.cap <= 0.5


def test_the_command_says_the_same_whatever_the_order_of_rows(tmp_path):
    head, *rows = PAIRS_FILE.read_text().splitlines()[:1500]
    random.Random(1).shuffle(rows)
    (tmp_path / "pairs.csv").write_text("\n".join([head, *rows]))
    rows_now = read_rows(tmp_path / "pairs.csv")

    pairs = make_pairs(rows_now, [distance or 0.0 for distance in read_distances(rows_now)])

    assert fit_logistic(pairs, np.ones(len(pairs.same)))[1] > 10


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no rows"),
        ("one,other\na,b\n", "missing: same"),
        ("one,other,same\na,b,maybe\n", "line 2"),
        ("one,other,same,distance\na,b,1,far\n", "is not a number"),
        ("one,other,same,distance\na,b,1,0.3\nb,c,1,0.3\na,c,0,0.9\n", "labeled as different people"),
        ("one,other,same,distance\na,b,1,0.3\n", "not enough pairs"),
        ("one,other,same\na.jpg,not-there.jpg,1\n", "a.jpg: No such file"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_one_line(tmp_path, capsys, weights, text, complaint):
    file = tmp_path / "pairs.csv"
    file.write_text(text)

    assert main(["calibrate", str(file), "--weights", str(weights.directory)]) == 3

    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "offset = 1", 'offset = 1\nslope = -3\ncap = 0.9\n[provenance]\nsource = "x"', "{"]
)
def test_constants_that_are_none_are_refused(tmp_path, text):
    file = tmp_path / "c.toml"
    file.write_text(text)

    with pytest.raises(PipelineError):
        load_calibration(file)


def test_a_probability_stops_at_the_cap():
    assert likeness_score(0.0, Calibration(18, 30, 0.97)) == 0.97
    assert likeness_score(0.0) == built_in().cap


def test_importing_the_calibration_loads_no_model():
    code = "import sys, pipeline.identity.calibration; assert not {'cv2', 'dlib', 'scipy'} & set(sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True, cwd=PAIRS_FILE.parents[3])
