"""Where the face sits: templates, their placement, and the image that the ControlNet reads."""

import numpy as np
import pytest

from pipeline.engines.instantid.poses import FACE_HEIGHT, POSES, draw_keypoints, place_keypoints, pose_for
from pipeline.types import Size

SIZE = Size(896, 1152)


def test_there_are_at_least_sixteen_templates_and_no_two_place_the_face_alike():
    placed = [place_keypoints(pose, SIZE) for pose in POSES]

    assert len(POSES) >= 16
    assert len({pose.name for pose in POSES}) == len(POSES)
    for index, one in enumerate(placed):
        assert all(np.abs(one - other).max() > 4 for other in placed[:index])


@pytest.mark.parametrize("pose", POSES, ids=lambda pose: pose.name)
def test_every_template_is_near_frontal_and_its_face_fills_the_right_share(pose):
    right_eye, left_eye, nose, right_mouth, left_mouth = points = place_keypoints(pose, SIZE)

    assert max(abs(pose.yaw), abs(pose.pitch), abs(pose.roll)) <= 12
    assert 0.35 <= pose.face_height <= 0.5
    eye_distance = np.linalg.norm(left_eye - right_eye)
    assert 0.33 <= eye_distance * FACE_HEIGHT / SIZE.height <= 0.52
    assert (points > [0.2 * SIZE.width, 0.2 * SIZE.height]).all()
    assert (points < [0.8 * SIZE.width, 0.7 * SIZE.height]).all()
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


def test_turning_to_the_right_moves_the_nose_to_the_right():
    straight, turned = (next(pose for pose in POSES if pose.name == name) for name in ("straight", "slightly_right"))

    def nose_between_eyes(pose):
        right_eye, left_eye, nose, *_ = place_keypoints(pose, SIZE)
        return (nose[0] - right_eye[0]) / (left_eye[0] - right_eye[0])

    assert nose_between_eyes(straight) == pytest.approx(0.5, abs=0.01)
    assert nose_between_eyes(turned) > 0.55


def test_a_pack_that_goes_round_its_looks_gives_each_look_every_pose():
    for looks in range(1, 11):
        poses = {pose_for(index).name for index in range(0, looks * len(POSES), looks)}
        assert len(poses) == len(POSES)


def test_the_keypoint_image_is_black_but_for_discs_and_dimmed_limbs():
    keypoints = place_keypoints(POSES[0], SIZE)

    picture = draw_keypoints(keypoints, SIZE)

    assert picture.shape == (SIZE.height, SIZE.width, 3)
    assert (picture == 0).all(axis=2).mean() > 0.98
    x, y = keypoints[2].astype(int)
    assert tuple(picture[y, x]) == (0, 0, 255)
    x, y = ((keypoints[0] + keypoints[2]) / 2).astype(int)
    assert tuple(picture[y, x]) == (153, 0, 0)
