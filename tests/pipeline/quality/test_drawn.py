"""The gate for drawn pictures: limits from real pairs of photos, and a correction before the judgment.

HEADSHOTS_TEST_PHOTOS names a folder of photos to judge as pairs, named by who is in them.
"""

import csv
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from itertools import permutations, product
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from pipeline.errors import Reason
from pipeline.faces.find import FaceFinder
from pipeline.faces.measure import measure
from pipeline.identity.embedding import FaceEmbedder
from pipeline.identity.likeness import ACCEPT_DISTANCE
from pipeline.imaging.skin import GRAY_CHROMA, MAX_DARKEN, MAX_LIGHTEN, Skin, skin_of
from pipeline.photos.rules import judge
from pipeline.quality.drawn import (
    LIMITS,
    ToneShift,
    is_drawn,
    lightness_groups,
    shift_into_band,
    skin_difference,
    skin_fault,
)
from pipeline.quality.fairness import Share
from pipeline.quality.gate import GateReference, Judgment, build_gate_reference, judge_picture
from pipeline.types import DigitalSource, Pixels, SourcePhoto, Status
from tests.helpers import photos

GOLDEN = Path(__file__).parents[2] / "golden" / "likeness"
FOLDER = os.environ.get("HEADSHOTS_TEST_PHOTOS", "")


class Pair:
    """One photo judged as if it were a drawn picture of the person in another one."""

    def __init__(self, photo: dict[str, str], picture: dict[str, str], distance: float) -> None:
        self.person, self.same, self.distance = photo["person"], photo["person"] == picture["person"], distance
        self.photo = Skin(*(float(photo[f"corrected_{name}"]) for name in ("lightness", "a", "b")), p95=80)
        self.picture = Skin(*(float(picture[name]) for name in ("lightness", "a", "b")), p95=80)
        self.monochrome = self.picture.chroma < GRAY_CHROMA

    @property
    def difference(self) -> float:
        """The color difference in CIE76."""
        (group,) = [each for each in lightness_groups() if self.group == each.name]
        return skin_difference(self.photo, self.picture) * group.max_difference

    @property
    def group(self) -> str:
        return next(each.name for each in lightness_groups() if self.photo.lightness < each.below)

    @property
    def accepted(self) -> bool:
        return (
            self.distance <= ACCEPT_DISTANCE
            and skin_fault(self.photo, self.picture, monochrome=self.monochrome) is None
        )


@pytest.fixture(scope="module")
def faces() -> list[dict[str, str]]:
    return list(csv.DictReader((GOLDEN / "skins.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def pairs(faces) -> list[Pair]:
    """Pairs in both directions: all of one person, and those of two people up to a distance of 0.7."""
    by_name = {face["face"]: face for face in faces}
    rows = list(csv.DictReader((GOLDEN / "skin_pairs.csv").read_text().splitlines()))
    return [
        Pair(by_name[row[one]], by_name[row[other]], float(row["distance"]))
        for row in rows
        for one, other in (("one", "other"), ("other", "one"))
    ]


def test_the_limits_are_the_95th_percentile_of_real_pairs_of_each_group(pairs):
    for group in lightness_groups():
        members = [pair for pair in pairs if pair.same and not pair.monochrome and pair.group == group.name]
        differences = [pair.difference for pair in members]
        assert (len(members), len({pair.person for pair in members})) == (group.pairs, group.people)
        assert np.percentile(differences, 95) == pytest.approx(group.max_difference, abs=0.06)
        assert np.median(differences) == pytest.approx(group.median, abs=0.06)


def test_the_gate_accepts_real_pairs_of_one_person_and_no_stranger(pairs, faces):
    """No pair was selected by its distance. The file states the same numbers, with 95% bounds."""
    stated = tomllib.loads(LIMITS.read_text())["accepted"]
    same = [pair for pair in pairs if pair.same]
    kinds = {"color": False, "monochrome": True}
    members = {kind: [pair for pair in same if pair.monochrome is gray] for kind, gray in kinds.items()}
    found = {kind: Share(sum(pair.accepted for pair in each), len(each)) for kind, each in members.items()}
    all_pairs = len(faces) * (len(faces) - 1) // 2
    found["strangers"] = Share(sum(pair.accepted for pair in pairs if not pair.same), all_pairs - len(same) // 2)

    assert found["color"].interval[0] >= 0.9
    assert found["strangers"].count == 0
    assert min(pair.distance for pair in pairs if not pair.same) == pytest.approx(0.561, abs=0.001)
    for kind, share in found.items():
        print(f"{kind}: {share.count} of {share.of} accepted, 95% interval {share.interval}")
        assert (share.count, share.of) == (stated[kind]["count"], stated[kind]["of"])
        assert share.interval == pytest.approx(stated[kind]["interval_of_pairs"], abs=0.0006)


def test_the_share_is_about_the_same_for_people_who_had_no_part_in_the_limits(pairs):
    same = [pair for pair in pairs if pair.same and not pair.monochrome]
    kept = 0
    for group, person in product(lightness_groups(), {pair.person for pair in same}):
        of_group = [pair for pair in same if pair.group == group.name]
        limit = np.percentile([pair.difference for pair in of_group if pair.person != person], 95)
        judged = [pair for pair in of_group if pair.person == person]
        kept += sum(pair.distance <= ACCEPT_DISTANCE and pair.difference <= limit for pair in judged)

    stated = tomllib.loads(LIMITS.read_text())["accepted"]["color"]["share_without_own_person"]
    assert kept / len(same) == pytest.approx(stated, abs=0.003)


def test_skin_as_far_from_the_band_as_it_may_be_is_shifted_to_its_edge_and_no_further():
    photo = Skin(50, 12, 15, 70)

    assert shift_into_band(photo, Skin(50 + MAX_LIGHTEN, 12, 15, 70)).change == 0
    assert shift_into_band(photo, Skin(70, 12, 15, 70)).change == MAX_LIGHTEN - 20
    assert shift_into_band(photo, Skin(30, 12, 15, 70)).change == 20 - MAX_DARKEN


def test_a_shift_moves_the_lightness_and_keeps_black_white_and_color():
    gray = np.repeat(np.array([0, 119, 255], np.uint8)[:, None, None], 3, axis=2).repeat(300, axis=0)

    shifted = ToneShift(50, -10).apply(gray)

    # CIE L of 119 is 50, of 94 it is 40.
    assert [int(value) for value in shifted[[0, 300, 899], 0, 0]] == [0, 94, 255]
    assert (np.ptp(shifted.astype(int), axis=2) <= 1).all()
    assert ToneShift(50, 0).apply(gray) is gray


@pytest.mark.parametrize(
    ("picture", "fault"),
    [
        (Skin(60, 12, 15, 80), None),
        (Skin(60, 12 + 20, 15, 80), None),
        (Skin(60, 12 + 28, 15, 80), Reason.OVERSATURATED),
        (Skin(60, -12, 15 - 12, 80), Reason.SKIN_TONE),
        (Skin(60 + 28, 12, 15, 80), Reason.SKIN_TONE),
        (Skin(60, 1, 1, 80), Reason.SKIN_TONE),
    ],
)
def test_skin_is_refused_beyond_what_two_real_photos_differ_by(picture, fault):
    assert skin_fault(Skin(60, 12, 15, 80), picture) is fault


def test_black_and_white_is_compared_by_lightness_only():
    color, gray = Skin(60, 12, 15, 80), Skin(62, 0, 0, 80)

    assert skin_fault(color, gray, monochrome=True) is None
    assert skin_fault(gray, color) is None
    assert skin_fault(color, Skin(90, 0, 0, 95), monochrome=True) is Reason.SKIN_TONE


def test_engines_declare_whether_they_drew_the_face():
    assert [source for source in DigitalSource if is_drawn(source)] == [DigitalSource.TRAINED]


# Real pictures


@pytest.fixture(scope="module")
def people(finder: FaceFinder) -> dict[str, SourcePhoto]:
    pictures = {
        "man a, suit": photos.halved(photos.obama()),
        "man a, speaking": photos.halved(photos.obama_speaking()),
        "man b": photos.halved(photos.biden()[:1400]),
    }
    return {name: SourcePhoto(pixels, finder.find(pixels)[0]) for name, pixels in pictures.items()}


def judge_pairs(
    people: dict[str, SourcePhoto], finder: FaceFinder, embedder: FaceEmbedder
) -> Iterator[tuple[str, str, Judgment]]:
    references = {name: build_gate_reference([photo], embedder) for name, photo in people.items()}
    for photo, picture in permutations(people, 2):
        yield photo, picture, judge_picture(people[picture].pixels, references[photo], finder, embedder, drawn=True)


def test_photos_that_packages_ship_are_told_apart(people, finder, embedder):
    for photo, picture, found in judge_pairs(people, finder, embedder):
        same = photo.partition(",")[0] == picture.partition(",")[0]
        assert found.accepted == same, (photo, picture, found.reasons)
        assert same or Reason.NOT_ALIKE in found.reasons


def test_photos_of_the_folder_are_told_apart(finder, embedder):
    """Photos with one face that the upload check accepts. man-a-podium.jpg and man-a-suit.jpg show one person."""
    if not FOLDER:
        pytest.skip("HEADSHOTS_TEST_PHOTOS names no folder of photos of people called man-a, woman-e, ...")
    people = {}
    for file in sorted(Path(FOLDER).iterdir()):
        if re.match(r"(?:wo)?man-[a-z]-", file.name):
            pixels = photos.read_pixels(file)
            found = finder.find(pixels)
            if len(found) == 1 and judge([measure(pixels, found[0])]).status is not Status.REFUSED:
                people[file.name] = SourcePhoto(pixels, found[0])
    verdicts: dict[bool, list[bool]] = {True: [], False: []}
    for photo, picture, judgment in judge_pairs(people, finder, embedder):
        verdicts[photo.split("-")[:2] == picture.split("-")[:2]].append(judgment.accepted)

    same, strangers = (Share(sum(verdicts[kind]), len(verdicts[kind])) for kind in (True, False))
    print(f"accepted {same} ({same.interval}), strangers {strangers} ({strangers.interval})")
    assert same.of > 0
    assert same.count >= 0.9 * same.of
    assert strangers.count == 0


@pytest.fixture(scope="module")
def reference(people, embedder) -> GateReference:
    return build_gate_reference([people["man a, suit"]], embedder)


@pytest.fixture(scope="module")
def judge_changed(people, reference, finder, embedder):
    """What the gate says of the man's photo with its Lab values changed, as if it had been drawn."""

    def judged(scale: Sequence[float], step: Sequence[float] = (0, 0, 0), **options: bool) -> tuple[Pixels, Judgment]:
        display = people["man a, suit"].pixels.astype(np.float32) / 255
        lab = cv2.cvtColor(display, cv2.COLOR_RGB2Lab) * np.float32(scale) + np.float32(step)
        pixels = (np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), 0, 1) * 255 + 0.5).astype(np.uint8)
        return pixels, judge_picture(pixels, reference, finder, embedder, drawn=True, **options)

    return judged


@pytest.mark.parametrize("step", [14, -14])
def test_lighter_or_darker_skin_is_brought_back_and_accepted(judge_changed, reference, people, step):
    pixels, found = judge_changed((1, 1, 1), (step, 0, 0))

    assert found.accepted
    shifted = skin_of(found.tone_shift.apply(pixels), people["man a, suit"].face)
    photo = reference.skins[0].lightness
    assert photo - MAX_DARKEN - 0.7 <= shifted.lightness <= photo + MAX_LIGHTEN + 0.7
    assert abs(found.drift.lightness) <= 6.01


def test_what_remains_lowers_the_rank(judge_changed):
    faithful, vivid = (judge_changed((1, chroma, chroma))[1].quality for chroma in (1.0, 1.6))

    assert faithful > vivid + 0.1 > 0.3


def test_oversaturated_and_gray_skin_is_refused(judge_changed):
    assert judge_changed((1, 3, 3))[1].reasons == (Reason.OVERSATURATED,)
    assert judge_changed((1, 0, 0))[1].reasons == (Reason.SKIN_TONE,)
    assert judge_changed((1, 0, 0), monochrome=True)[1].accepted


def test_only_drawn_pictures_are_judged_by_the_second_network(people, finder, embedder):
    photo = people["man b"]
    seen = iter([np.float32([1, 0]), np.float32([0, 1])])
    both = SimpleNamespace(embed=embedder.embed, second=SimpleNamespace(embed=lambda pixels, face: next(seen)))
    reference = build_gate_reference([photo], both)

    drawn = judge_picture(photo.pixels, reference, finder, both, drawn=True)
    composed = judge_picture(photo.pixels, reference, finder, both)

    assert (drawn.reasons, drawn.likeness.cosine) == ((Reason.NOT_ALIKE,), 0)
    assert composed.accepted
    assert composed.likeness.cosine is None
