"""`evaluate FOLDER --sheet`: a folder of photos as contact sheets and a table."""

import csv
import json

import pytest
from PIL import Image

from pipeline.__main__ import main
from pipeline.commands import DONE, USAGE_ERROR
from pipeline.types import Size
from tests.helpers import photos


@pytest.fixture
def evaluate(monkeypatch, weights, finder, embedder, tmp_path):
    monkeypatch.setattr("pipeline.commands.make.FaceFinder", lambda weights: finder)
    monkeypatch.setattr("pipeline.commands.make.FaceEmbedder", lambda weights: embedder)
    # A quarter of the pixels is enough to measure the framing.
    monkeypatch.setattr("pipeline.commands.contact_sheets.SIZE", Size(448, 560))

    def run(*words: str) -> int:
        return main(["evaluate", str(tmp_path), *words, "--weights", str(weights.directory)])

    return run


def test_each_photo_is_a_cell_and_a_line(evaluate, tmp_path, capsys):
    (tmp_path / "ann.jpg").write_bytes(photos.encode(photos.astronaut()))
    (tmp_path / "cup.PNG").write_bytes(photos.coffee_path().read_bytes())
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8 torn")
    (tmp_path / "notes.txt").write_text("no photo")

    status = evaluate("--sheet", "--out", str(tmp_path / "out"), "--json")

    assert status == DONE
    ann, cup, torn = json.loads(capsys.readouterr().out)
    assert (ann["file"], ann["style"]) == ("ann.jpg", "corporate")
    assert 0.8 < ann["outline"] <= 1
    assert 0.3 < ann["face"] < 0.5
    assert 0.3 < ann["eyes"] < ann["center_y"] < 0.6
    assert (cup["eyes"], cup["faults"]) == (None, "photo refused: no_face")
    assert torn["faults"] == "photo refused: unsupported_format"
    table = list(csv.DictReader((tmp_path / "out" / "sheet.csv").read_text().splitlines()))
    assert [(row["file"], row["faults"]) for row in table] == [(row["file"], row["faults"]) for row in (ann, cup, torn)]
    assert float(table[0]["eyes"]) == ann["eyes"]
    assert Image.open(tmp_path / "out" / "sheet-01.png").width > 1500


@pytest.mark.parametrize(
    ("words", "complaint"),
    [(["--sheet"], "no photos"), ([], "one of the arguments --groups --sheet is required")],
)
def test_a_call_that_cannot_be_meant_is_one_clear_line(evaluate, capsys, words, complaint):
    assert evaluate(*words) == USAGE_ERROR
    assert complaint in capsys.readouterr().err
