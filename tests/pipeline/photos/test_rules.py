"""What the rules make of measurements, without a picture."""

from dataclasses import replace

import pytest

from pipeline.errors import FaceNotFound, Reason
from pipeline.faces.measure import PhotoMeasurements
from pipeline.photos.rules import judge, judge_faceless
from pipeline.types import Measurements, Status, Verdict

GOOD = Measurements(
    face_width_px=300,
    yaw_degrees=-2,
    pitch_degrees=6,
    roll_degrees=3,
    sharpness=0.4,
    lightness_median=65,
    lightness_p95=80,
    overexposed_share=0,
    light_asymmetry=8,
    occlusion=0,
    outside_share=0,
)


def test_a_good_face_is_accepted_without_reasons() -> None:
    assert judge([GOOD]) == Verdict(Status.ACCEPTED, (), 0)


def test_a_photo_without_faces_is_refused() -> None:
    assert judge([]) == Verdict(Status.REFUSED, (Reason.NO_FACE,), None)


@pytest.mark.parametrize(
    ("measured", "status", "reason"),
    [
        ({"face_width_px": 111}, Status.REFUSED, Reason.FACE_TOO_SMALL),
        ({"yaw_degrees": -30}, Status.WARNED, Reason.TURNED_AWAY),
        ({"yaw_degrees": 41}, Status.REFUSED, Reason.TURNED_AWAY),
        ({"pitch_degrees": 21}, Status.WARNED, Reason.TILTED_HEAD),
        ({"pitch_degrees": -11}, Status.WARNED, Reason.TILTED_HEAD),
        ({"roll_degrees": -28}, Status.WARNED, Reason.TILTED_HEAD),
        ({"roll_degrees": 178}, Status.REFUSED, Reason.NOT_UPRIGHT),
        ({"sharpness": 0.2}, Status.WARNED, Reason.TOO_BLURRY),
        ({"sharpness": 0.14}, Status.REFUSED, Reason.TOO_BLURRY),
        ({"lightness_p95": 44}, Status.WARNED, Reason.TOO_DARK),
        ({"lightness_p95": 39}, Status.REFUSED, Reason.TOO_DARK),
        ({"overexposed_share": 0.1}, Status.WARNED, Reason.OVEREXPOSED),
        ({"overexposed_share": 0.21}, Status.REFUSED, Reason.OVEREXPOSED),
        ({"light_asymmetry": 46}, Status.WARNED, Reason.UNEVEN_LIGHT),
        ({"occlusion": 1.2}, Status.WARNED, Reason.COVERED),
        ({"occlusion": 1.9}, Status.REFUSED, Reason.COVERED),
        ({"outside_share": 0.02}, Status.WARNED, Reason.FACE_CUT_OFF),
        ({"outside_share": 0.2}, Status.REFUSED, Reason.FACE_CUT_OFF),
        ({"child_share": 0.51}, Status.REFUSED, Reason.CHILD),
    ],
)
def test_each_rule_has_its_own_code(measured: dict[str, float], status: Status, reason: Reason) -> None:
    assert judge([replace(GOOD, **measured)]) == Verdict(status, (reason,), 0)


def test_what_refuses_stands_before_what_warns() -> None:
    face = replace(GOOD, outside_share=0.02, sharpness=0.1, roll_degrees=30)

    assert judge([face]).reasons == (Reason.TOO_BLURRY, Reason.FACE_CUT_OFF, Reason.TILTED_HEAD)


def test_two_people_of_similar_size_are_asked_who_is_meant() -> None:
    verdict = judge([GOOD, replace(GOOD, face_width_px=150)])

    assert verdict == Verdict(Status.CHOOSE_FACE, (Reason.SEVERAL_FACES,), None)


def test_small_faces_in_the_background_raise_no_question() -> None:
    assert judge([GOOD, replace(GOOD, face_width_px=90)]) == Verdict(Status.ACCEPTED, (), 0)


def test_a_face_in_the_background_that_would_do_is_asked_about() -> None:
    poster = replace(GOOD, face_width_px=900)

    assert judge([poster, replace(GOOD, face_width_px=171)]) == Verdict(Status.CHOOSE_FACE, (Reason.SEVERAL_FACES,))


def test_a_person_who_wants_to_be_asked_is_asked_about_every_face() -> None:
    faces = [GOOD, replace(GOOD, face_width_px=90)]

    assert judge(faces, ask_first=True) == Verdict(Status.CHOOSE_FACE, (Reason.SEVERAL_FACES,))
    assert judge(faces[:1], ask_first=True) == Verdict(Status.ACCEPTED, (), 0)
    assert judge(faces[1:] * 2, ask_first=True) == Verdict(Status.REFUSED, (Reason.FACE_TOO_SMALL,))


def test_the_face_that_matters_need_not_be_listed_first() -> None:
    assert judge([replace(GOOD, face_width_px=90), GOOD]).face == 1


def test_nobody_is_asked_to_choose_among_faces_that_will_all_not_do() -> None:
    tiny = replace(GOOD, face_width_px=80)

    assert judge([tiny, tiny, tiny]) == Verdict(Status.REFUSED, (Reason.FACE_TOO_SMALL,), None)


def test_one_usable_face_among_several_is_still_a_question() -> None:
    assert judge([GOOD, replace(GOOD, yaw_degrees=60)]).status is Status.CHOOSE_FACE


@pytest.mark.parametrize(("chosen", "status"), [(0, Status.ACCEPTED), (1, Status.REFUSED), (2, Status.REFUSED)])
def test_a_chosen_face_is_judged_whatever_the_others_are(chosen: int, status: Status) -> None:
    faces = [GOOD, replace(GOOD, yaw_degrees=60), replace(GOOD, face_width_px=60)]

    verdict = judge(faces, chosen)

    assert verdict.status is status
    assert verdict.face == chosen


@pytest.mark.parametrize("chosen", [-1, 1, 7])
def test_choosing_a_face_that_is_not_there_is_an_error(chosen: int) -> None:
    with pytest.raises(FaceNotFound):
        judge([GOOD], chosen)


@pytest.mark.parametrize(
    ("photo", "reasons"),
    [
        (PhotoMeasurements(contrast=30, sharpness=0.2, overexposed_share=0), (Reason.NO_FACE,)),
        (PhotoMeasurements(contrast=30, sharpness=0.01, overexposed_share=0), (Reason.NO_FACE, Reason.TOO_BLURRY)),
        (PhotoMeasurements(contrast=30, sharpness=0.2, overexposed_share=0.5), (Reason.NO_FACE, Reason.OVEREXPOSED)),
        (PhotoMeasurements(contrast=1, sharpness=0.0, overexposed_share=1), (Reason.NO_FACE,)),
    ],
)
def test_a_faceless_photo_says_what_may_have_hidden_the_face(
    photo: PhotoMeasurements, reasons: tuple[Reason, ...]
) -> None:
    assert judge_faceless(photo) == Verdict(Status.REFUSED, reasons, None)
