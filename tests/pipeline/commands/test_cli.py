"""The command line as a person or a script uses it."""

import io
import json
import os
import pty
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import main
from pipeline.commands import CHOOSE_FACE, DONE, REFUSED, USAGE_ERROR
from pipeline.commands.make import SIZES
from pipeline.types import Size
from tests.helpers import photos

ROOT = Path(__file__).resolve().parents[3]
SMALL_SIZES = {key: Size(size.width // 2, size.height // 2) for key, size in SIZES.items()}


@pytest.fixture
def command(capfd, weights, finder, embedder, monkeypatch):
    """Run a command in this process, and return its status and what it printed and said.

    The networks are those of the session. The tests with a process of their own load them anew."""
    monkeypatch.setattr("pipeline.commands.check.FaceFinder", lambda weights: finder)
    monkeypatch.setattr("pipeline.commands.make.FaceFinder", lambda weights: finder)
    monkeypatch.setattr("pipeline.commands.make.FaceEmbedder", lambda weights: embedder)

    def run(*words: object) -> tuple[int, str, str]:
        status = main([*map(str, words), "--weights", str(weights.directory)])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def make(command, monkeypatch, tmp_path):
    """`make` with the fake engine into a folder of its own. Its pictures have a quarter of the pixels."""
    monkeypatch.setattr("pipeline.commands.make.SIZES", SMALL_SIZES)

    def run(*words: object) -> tuple[int, str, str]:
        return command("make", *words, "--engine", "fake", "--out", tmp_path / "out")

    return run


@pytest.fixture(scope="module")
def two_people(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "two-people.jpg"
    path.write_bytes(photos.encode(photos.halved(photos.two_people())))
    return path


@pytest.fixture
def small_face(tmp_path):
    path = tmp_path / "small-face.jpg"
    path.write_bytes(photos.encode(np.asarray(Image.fromarray(photos.astronaut()).resize((256, 256)))))
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_usable_photo_is_accepted(command):
    status, printed, said = command("check", photos.astronaut_path())

    assert (status, said) == (DONE, "")
    assert printed == f"{photos.astronaut_path()}: accepted\n"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["astronaut"], DONE),
        (["coffee"], REFUSED),
        (["two_people"], CHOOSE_FACE),
        (["astronaut", "two_people"], CHOOSE_FACE),
        (["two_people", "coffee", "astronaut"], REFUSED),
    ],
)
def test_the_exit_status_of_check_is_that_of_the_worst_photo(command, two_people, names, expected):
    paths = {"astronaut": photos.astronaut_path(), "coffee": photos.coffee_path(), "two_people": two_people}

    status, _, _ = command("check", *(paths[name] for name in names))

    assert status == expected


def test_check_as_json_is_a_list_in_the_order_of_the_photos(command, two_people, tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.png").write_text("<html>")
    asked = [photos.astronaut_path(), two_people, photos.coffee_path(), tmp_path / "empty.jpg", tmp_path / "page.png"]

    status, printed, said = command("check", *asked, "--json")

    entries = json.loads(printed)
    assert (status, said) == (REFUSED, "")
    assert [entry.keys() for entry in entries] == [{"file", "status", "reasons", "faces", "measurements"}] * 5
    assert [entry["file"] for entry in entries] == list(map(str, asked))
    assert [(entry["status"], entry["reasons"]) for entry in entries] == [
        ("accepted", []),
        ("choose_face", ["several_faces"]),
        ("refused", ["no_face"]),
        ("refused", ["unreadable"]),
        ("refused", ["unsupported_format"]),
    ]
    assert [len(entry["faces"]) for entry in entries] == [1, 2, 0, 0, 0]
    assert entries[0]["faces"][0].keys() == {"left", "top", "right", "bottom", "score"}
    assert entries[0]["measurements"][0]["face_width_px"] > 112


def test_make_writes_pictures_and_a_manifest(make, tmp_path):
    status, printed, said = make(photos.astronaut_path(), "--json")

    manifest = json.loads(printed)
    assert (status, said) == (DONE, "")
    assert files(tmp_path / "out") == [
        "01-corporate.jpg",
        "02-executive.jpg",
        "03-outdoor.jpg",
        "04-bw.jpg",
        "manifest.json",
    ]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    for entry in manifest:
        assert entry.keys() >= {"file", "style", "seed", "width", "height", "likeness", "seconds"}
        assert entry["likeness"] > 0.9
        with Image.open(tmp_path / "out" / entry["file"]) as picture:
            assert picture.size == (entry["width"], entry["height"])
            assert not picture.getexif()


def test_make_without_json_prints_a_line_a_picture(make, tmp_path):
    status, printed, said = make(photos.astronaut_path(), "--count", "2")

    assert status == DONE
    assert printed.splitlines() == [
        f"{tmp_path / 'out' / '01-corporate.jpg'}  likeness 0.99",
        f"{tmp_path / 'out' / '02-executive.jpg'}  likeness 0.99",
    ]
    assert said.startswith("2 of 2 headshots in ")


def test_styles_and_count_and_shape_are_as_asked(make, monkeypatch):
    monkeypatch.setattr("pipeline.commands.make.SIZES", SIZES)

    _, printed, _ = make(
        photos.astronaut_path(), "--style", "navy", "--style", "bw", "--count", "3", "--shape", "square", "--json"
    )

    manifest = json.loads(printed)
    assert [entry["style"] for entry in manifest] == ["navy", "bw", "navy"]
    assert {(entry["width"], entry["height"]) for entry in manifest} == {(1024, 1024)}


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others(make, tmp_path):
    def pictures(seed: int) -> list[bytes]:
        make(photos.astronaut_path(), "--count", "1", "--seed", seed)
        # The files themselves differ: no two signatures are alike.
        return [Image.open(path).tobytes() for path in sorted((tmp_path / "out").glob("*.jpg"))]

    first, again, other = pictures(7), pictures(7), pictures(8)

    assert first == again
    assert not set(first) & set(other)


def test_several_faces_without_a_choice_are_an_error_that_lists_them(make, two_people, tmp_path):
    status, printed, said = make(two_people)

    assert (status, printed) == (CHOOSE_FACE, "")
    lines = said.splitlines()
    assert lines[0] == f"error: {two_people}: several faces; choose one with --face INDEX"
    assert [line.split(":")[0] for line in lines[1:]] == ["  face 0", "  face 1"]
    assert "px at left" in lines[1]
    assert files(tmp_path / "out") == []


def test_the_chosen_face_is_the_one_in_the_pictures(make, two_people, tmp_path, finder, embedder):
    pixels = photos.halved(photos.two_people())
    faces = finder.find(pixels)

    for index, face in enumerate(faces):
        status, _, _ = make(two_people, "--face", index, "--count", "1")
        assert status == DONE
        picture = photos.read_pixels(tmp_path / "out" / "01-corporate.jpg")
        (found,) = finder.find(picture)
        distance = np.linalg.norm(embedder.embed(picture, found) - embedder.embed(pixels, face))
        assert distance < 0.3


def test_a_face_that_is_not_there_is_an_error(make, two_people):
    status, _, said = make(two_people, "--face", "2")

    assert (status, said) == (USAGE_ERROR, f"error: {two_people}: no face 2 in a photo with 2\n")


def test_several_photos_of_one_person_go_together(make):
    status, printed, _ = make(photos.obama_path(), photos.obama_speaking_path(), "--count", "2", "--json")

    assert status == DONE
    assert len(json.loads(printed)) == 2


def test_with_several_photos_the_choice_is_meant_for_those_with_several_people(make, two_people):
    # The wider face, number 0, is the other man's.
    right, _, _ = make(two_people, photos.obama_speaking_path(), "--face", "1", "--count", "1")
    wrong, _, _ = make(two_people, photos.obama_speaking_path(), "--face", "0", "--count", "1")

    assert (right, wrong) == (DONE, REFUSED)


def test_photos_of_two_persons_do_not_go_together(make):
    status, _, said = make(photos.obama_path(), photos.biden_path())

    assert (status, said) == (
        REFUSED,
        f"error: {photos.biden_path()}: shows another person than {photos.obama_path()}\n",
    )


def test_a_refused_photo_makes_nothing(make, small_face, tmp_path):
    status, printed, said = make(small_face)

    assert (status, printed) == (REFUSED, "")
    assert said.startswith(f"error: {small_face}: refused (face_too_small")
    assert said.count("\n") == 1
    assert files(tmp_path / "out") == []


def test_a_photo_that_cannot_be_read_makes_nothing(make, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(photos.encode(photos.astronaut())[:5000])

    status, _, said = make(tmp_path / "cut.jpg")

    assert (status, said) == (REFUSED, f"error: {tmp_path / 'cut.jpg'}: refused (unreadable)\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "no-such-photo.jpg"], "no-such-photo.jpg: No such file or directory"),
        (["check", "/"], "/: Is a directory"),
        (["check"], "the following arguments are required: PHOTO"),
        (["make", photos.astronaut_path()], "the following arguments are required: --out"),
        (["make", "no-such-photo.jpg", "--out", "out"], "no-such-photo.jpg: No such file or directory"),
        (["make", photos.astronaut_path(), "--out", "/dev/null/out"], "choose another folder with --out"),
        (["make", *[photos.astronaut_path()] * 6, "--out", "out"], "6 photos are too many. Give one to 5 photos"),
        (["make", photos.astronaut_path(), "--out", "out", "--style", "disco"], "known: corporate, executive, outdoor"),
        (["make", photos.astronaut_path(), "--out", "out", "--count", "0"], "must be at least 1"),
        (["make", photos.astronaut_path(), "--out", "out", "--count", "many"], "'many' is not a whole number"),
        (["make", photos.astronaut_path(), "--out", "out", "--face", "-1"], "--face"),
        (["make", photos.astronaut_path(), "--out", "out", "--engine", "oils"], "invalid choice: 'oils'"),
        (["weights", "fetch", "mona_lisa"], "known: studio, instantid"),
        (["dance"], "invalid choice: 'dance'"),
    ],
)
def test_a_call_that_cannot_be_carried_out_is_one_clear_line(command, monkeypatch, tmp_path, words, message):
    monkeypatch.chdir(tmp_path)

    status, printed, said = command(*words)

    assert (status, printed) == (USAGE_ERROR, "")
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert message in said


def test_a_pipe_is_refused_instead_of_waited_for(command, tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")

    status, _, said = command("check", tmp_path / "pipe.jpg")

    assert (status, said) == (USAGE_ERROR, f"error: {tmp_path / 'pipe.jpg'}: not a file\n")


@pytest.mark.parametrize("words", [["check", photos.astronaut_path()], ["make", photos.astronaut_path(), "--out", "o"]])
def test_without_weights_the_error_names_the_command_that_fetches_them(capfd, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)

    status = main([*map(str, words), "--weights", "nowhere"])

    assert status == USAGE_ERROR
    assert "Fix: python -m pipeline weights fetch --weights nowhere" in capfd.readouterr().err


def test_engines_lists_which_engine_works_and_the_license_of_each_weight(command):
    status, printed, _ = command("engines", "--json")

    report = json.loads(printed)
    assert status == DONE
    studio, instantid = report["engines"]
    assert studio == {"name": "studio", "ready": True, "missing": [], "notes": []}
    assert (instantid["name"], instantid["ready"]) == ("instantid", False)
    assert instantid["missing"] == ["Not installed. To install it, run: python3 run.py --engine instantid"]
    assert report["chosen"] == "studio"
    licenses = {weight["name"]: (weight["license"], weight["business"]) for weight in report["weights"]}
    assert licenses["face_mesh"] == ("Apache-2.0", True)
    assert licenses["dlib_face"] == ("CC0-1.0", True)
    assert licenses["realvisxl"] == ("OpenRAIL++-M", True)
    assert licenses["antelopev2"] == ("non-commercial research (insightface)", False)
    assert licenses["realesrgan_x4plus"] == ("BSD-3-Clause", True)


def test_engines_lists_what_is_missing_and_how_to_get_it(capfd, weights, tmp_path):
    shutil.copytree(weights.directory, tmp_path / "weights")
    (tmp_path / "weights" / "face_landmark.tflite").write_bytes(b"half")

    status = main(["engines", "--weights", str(tmp_path / "weights")])

    printed = capfd.readouterr().out
    assert status == REFUSED
    assert "studio: cannot run" in printed
    assert "The weight face_mesh is 4 bytes long instead of 1242398" in printed
    assert f"fix: python -m pipeline weights fetch --weights {tmp_path / 'weights'}" in printed


def test_fetching_weights_that_are_here_does_nothing(command):
    assert command("weights", "fetch") == (DONE, "", "")


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"], ["make", "--help"], ["engines", "--help"]])
def test_help_explains_the_exit_statuses(capsys, words):
    with pytest.raises(SystemExit) as ended:
        main(words)

    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "exit status:" in printed
    assert "2  a photo shows several people" in printed


def run_python(*words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "pipeline", *words], cwd=ROOT, capture_output=True, **options)


def test_the_real_thing_prints_json_alone_and_nothing_else_anywhere(weights, tmp_path):
    ended = run_python(
        *("make", str(photos.astronaut_path()), "--out", str(tmp_path), "--count", "1", "--json"),
        *("--weights", str(weights.directory)),
    )

    assert (ended.returncode, ended.stderr) == (DONE, b"")
    (entry,) = json.loads(ended.stdout)
    with Image.open(tmp_path / entry["file"]) as picture:
        assert max(picture.size) >= 1024


def test_on_a_terminal_a_bar_moves_on_stderr_and_stdout_stays_json(weights, tmp_path):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    words = ["make", str(photos.astronaut_path()), "--out", str(tmp_path), "--engine", "fake", "--json"]
    words += ["--count", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words, "--weights", str(weights.directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        drawn = io.BytesIO()
        while chunk := read_terminal(ours):
            drawn.write(chunk)
        assert process.stdout
        printed = process.stdout.read()
    os.close(ours)

    assert len(json.loads(printed)) == 2
    assert b"Headshots" in drawn.getvalue()
    assert b"2/2 pictures" in drawn.getvalue()


def test_a_reader_who_leaves_early_is_no_drama(weights):
    words = ["check", *[str(photos.coffee_path())] * 3, "--weights", str(weights.directory)]
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (141, b"")


def read_terminal(handle: int) -> bytes:
    """What was written to the terminal; nothing once everybody has left it (Linux raises then)."""
    try:
        return os.read(handle, 4096)
    except OSError:
        return b""


def test_the_benchmark_measures_time_and_memory(weights):
    ended = run_python("bench", "studio", "--json", "--weights", str(weights.directory))

    figures = json.loads(ended.stdout)
    assert figures["photo"].endswith("astronaut.png")
    for name in ("cold_make_seconds", "warm_make_seconds", "warm_check_seconds"):
        assert figures[name] > 0
    assert figures["warm_make_seconds"] < figures["cold_make_seconds"]
    assert figures["cold_peak_megabytes"] < 800


def test_large_weights_are_shown_with_their_terms_and_nothing_comes_without_consent(tmp_path, capfd, monkeypatch):
    catalog = tmp_path / "own.toml"
    catalog.write_text(
        f"""
        [weights.brush]
        url = "http://127.0.0.1:9/brush.bin"
        file = "brush.bin"
        bytes = 5000000
        sha256 = "{"0" * 64}"
        license = "non-commercial research"
        business = false
        source = "a test"
        purpose = "nothing"
        """
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    status = main(["weights", "fetch", "brush", "--catalog", str(catalog), "--weights", str(tmp_path / "weights")])

    said = capfd.readouterr().err
    assert status == USAGE_ERROR
    assert "5.0 MB  non-commercial research; NOT for commercial use  (a test)" in said
    assert "To accept them, add --yes" in said
    assert not (tmp_path / "weights").exists()


class Terminal(io.StringIO):
    """A person at a keyboard."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "outcome"), [("n\n", "Nothing was downloaded"), ("", "Nothing"), ("y\n", "brush.bin")]
)
def test_a_person_at_a_terminal_is_asked(tmp_path, capfd, monkeypatch, answer, outcome):
    monkeypatch.setattr("pipeline.weights.downloads.PAUSE_SECONDS", 0)
    catalog = tmp_path / "own.toml"
    catalog.write_text(
        f"""
        [weights.brush]
        url = "http://127.0.0.1:9/brush.bin"
        file = "brush.bin"
        bytes = 5000000
        sha256 = "{"0" * 64}"
        license = "CC0-1.0"
        source = "a test"
        purpose = "nothing"
        """
    )
    monkeypatch.setattr("sys.stdin", Terminal(answer))

    status = main(["weights", "fetch", "brush", "--catalog", str(catalog), "--weights", str(tmp_path / "weights")])

    said = capfd.readouterr().err
    assert status == USAGE_ERROR
    assert "Accept the licenses and download? [y/N]" in said
    assert outcome in said.partition("[y/N]")[2]
