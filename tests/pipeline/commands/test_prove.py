"""`prove`: several people, one folder that can be sent, and nothing of them in it."""

import json

import pytest

from pipeline.__main__ import main
from pipeline.commands import DONE, REFUSED, USAGE_ERROR
from pipeline.commands.proof_report import EncoderReading, PictureFigures, anonymize
from pipeline.engines.fake import FakeEngine
from pipeline.errors import DeviceLost
from pipeline.quality.gate import Drift
from tests.helpers import photos


@pytest.fixture
def prove(monkeypatch, weights, finder, embedder, tmp_path):
    """Call the command with the fake engine, which shows the person's own photo."""
    monkeypatch.setattr("pipeline.commands.make.FaceFinder", lambda weights: finder)
    monkeypatch.setattr("pipeline.commands.make.FaceEmbedder", lambda weights: embedder)

    def run(*words: str) -> int:
        place = ["--weights", str(weights.directory), "--out", str(tmp_path / "out")]
        return main(["prove", *words, "--engine", "fake", "--count", "1", *place])

    return run


@pytest.fixture
def people(tmp_path):
    """Return a photo of one person, and a folder with a photo of another one."""
    one, other = tmp_path / "eileen@example.org.jpg", tmp_path / "Barack Obama"
    one.write_bytes(photos.encode(photos.astronaut()))
    other.mkdir()
    (other / "speech.jpg").write_bytes(photos.encode(photos.halved(photos.obama())))
    return one, other


def test_the_report_has_figures_of_several_people_and_nothing_that_identifies_them(prove, people, tmp_path, capsys):
    cup = tmp_path / "my cup.png"
    cup.write_bytes(photos.coffee_path().read_bytes())

    status = prove(*map(str, people), str(cup))

    assert status == REFUSED, "the cup has no face"
    files = {file.name: file.read_text() for file in (tmp_path / "out").iterdir()}
    assert files.keys() == {"report.json", "report.txt"}
    report = json.loads(files["report.json"])
    one, other, third = report["people"]
    for person in (one, other):
        (picture,) = person["pictures"]
        (reading,) = picture["likeness"]
        assert reading["encoder"] == "dlib"
        assert reading["distance"] < reading["limit"] < reading["other_person"]
        assert abs(picture["skin"]["lightness"]) < 3
    assert (report["accepted"], third["pictures"]) == (2, [])
    assert third["problem"] == "photo 1 of person 3: refused (no_face)"
    assert {"loading", "preparing", "rendering", "judging"} <= report["seconds"].keys()
    assert report["peak_gigabytes"]["process"] > 0
    assert report["machine"]["packages"]["numpy"]
    for text in (*files.values(), capsys.readouterr().out):
        assert not any(private in text for private in ("eileen", "Obama", "speech", "cup", str(tmp_path), "@"))


def test_pictures_are_written_only_if_asked_for(prove, people, tmp_path):
    assert prove(str(people[0]), "--with-pictures") == DONE

    names = sorted(file.name for file in (tmp_path / "out" / "pictures").iterdir())
    assert names == ["contact-sheet-1.jpg", "person-1-01-corporate.jpg"]


def test_a_folder_that_holds_something_is_refused(prove, people, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.jpg").touch()

    assert prove(str(people[0])) == USAGE_ERROR
    assert "is not empty" in capsys.readouterr().err


def test_an_engine_that_fails_leaves_a_report_that_says_where(prove, people, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise DeviceLost(f"The file {tmp_path}/weights/unet.safetensors of jane@example.org is gone")

    monkeypatch.setattr(FakeEngine, "render", fail)

    assert prove(str(people[0])) == USAGE_ERROR
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["error"]["type"] == "DeviceLost"
    assert report["error"]["message"] == "The file …/unet.safetensors of EMAIL is gone"
    assert any(call.startswith("pipeline/commands/prove.py:") for call in report["error"]["calls"])
    assert not report["passed"]
    assert "DeviceLost" in (tmp_path / "out" / "report.txt").read_text()


def test_six_photos_of_one_person_are_too_many(prove, people, capsys):
    for number in range(5):
        (people[1] / f"{number}.jpg").touch()

    assert prove(str(people[1])) == USAGE_ERROR
    assert "one to 5 photos" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/jane/x.bin is missing", "…/x.bin is missing"),
        ("me.jpg: refused", "photo 1: refused"),
        ("some.jpg and memory", "some.jpg and memory"),
        ("/srv/a/b/c.toml, then https://huggingface.co/d/e", "…/c.toml, then https://huggingface.co/d/e"),
        ("/weights of Jane/unet is missing", "WEIGHTS/unet is missing"),
    ],
)
def test_paths_names_and_addresses_are_replaced(text, shown):
    assert anonymize(text, {"me.jpg": "photo 1", "/weights of Jane": "WEIGHTS"}) == shown


def test_a_picture_is_one_line_with_each_encoder():
    readings = (EncoderReading("dlib", 0.41, 0.53, 0.83, 0.97), EncoderReading("auraface", 0.6, 0.8, None, None))
    figures = PictureFigures("corporate", 1, 1, False, ("skin_tone",), readings, Drift(9.0, None, None), 0.9)

    assert figures.line().split("  ")[-2:] == ["dlib 0.41, others 0.83, auraface 0.60", "skin L +9.0"]
    assert "refused (skin_tone)" in figures.line()
