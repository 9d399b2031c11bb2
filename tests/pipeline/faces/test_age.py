"""Children's faces: adults are never taken for one, and what the network says decides about the photo.

No photo of a child may be kept here. docs/benchmarks.md has the figures of those that were measured.
"""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.errors import Reason, WeightsError
from pipeline.faces.age import CHILD_YEARS, CHIP_PX, YEARS, AgeNetwork
from pipeline.faces.find import FaceFinder
from pipeline.photos.check import check_photo
from pipeline.types import Pixels, Status
from tests.helpers import photos


def network(path: Path, years: int, probable_year: int) -> AgeNetwork:
    """A network that is sure of one year, whatever it sees."""
    probabilities = np.eye(years, dtype=np.float32)[probable_year]
    constant = helper.make_node(
        "Constant", [], ["one"], value=helper.make_tensor("", TensorProto.FLOAT, (1, years), probabilities)
    )
    twice = helper.make_node("Concat", ["one", "one"], ["probabilities"], axis=0)
    graph = helper.make_graph(
        [constant, twice],
        "ages",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [None, 3, CHIP_PX, CHIP_PX])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [2, years])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return AgeNetwork(path)


@pytest.mark.parametrize("photo", [photos.astronaut, photos.obama, photos.obama_speaking, photos.biden])
@pytest.mark.parametrize("spoil", [lambda pixels: pixels, lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 2)])
def test_an_adult_is_not_taken_for_a_child(photo, spoil, finder: FaceFinder) -> None:
    pixels = photo()
    face = finder.find(pixels)[0]

    assert finder.age_network.child_share(spoil(pixels), face) < 0.2
    mirrored = np.ascontiguousarray(pixels[:, ::-1])
    assert finder.age_network.child_share(mirrored, finder.find(mirrored)[0]) < 0.2


def test_only_the_years_below_the_limit_count(tmp_path: Path, finder: FaceFinder) -> None:
    pixels: Pixels = photos.astronaut()
    face = finder.find(pixels)[0]

    shares = [
        network(tmp_path / f"{year}.onnx", YEARS, year).child_share(pixels, face)
        for year in (0, CHILD_YEARS - 1, CHILD_YEARS, YEARS - 1)
    ]

    assert shares == [1, 1, 0, 0]


def test_a_child_is_refused_unless_the_person_is_known_to_be_an_adult(
    tmp_path: Path, finder: FaceFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finder, "age_network", network(tmp_path / "child.onnx", YEARS, 7), raising=False)

    refused = check_photo(photos.astronaut(), finder).verdict
    known = check_photo(photos.astronaut(), finder, is_adult=True).verdict

    assert (refused.status, refused.reasons) == (Status.REFUSED, (Reason.CHILD,))
    assert known.status is Status.ACCEPTED


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="81 probabilities"):
        network(tmp_path / "other.onnx", YEARS + 1, 0)
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        AgeNetwork(tmp_path / "broken.onnx")
