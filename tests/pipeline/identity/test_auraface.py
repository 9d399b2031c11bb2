"""The second network: its file's interface, the alignment of faces, and what the gate makes of it.

AuraFace's own file cannot be fetched here. A tiny network with the same interface takes its place.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from skimage.transform import SimilarityTransform

from pipeline.errors import Reason, WeightsError
from pipeline.faces.landmarks import keypoints
from pipeline.identity.auraface import ALIGNED, AuraFaceEmbedder, alignment, cosine
from pipeline.identity.embedding import FaceEmbedder
from pipeline.identity.likeness import MIN_COSINE, judge_likeness
from pipeline.types import Box, Face, SourcePhoto
from pipeline.weights import CATALOG, Weights
from tests.helpers import photos


def save_network(path: Path, outputs: int = 512, side: int = 112) -> Path:
    """Write a network with the inputs and outputs of ArcFace networks. It averages blocks of pixels."""
    pooled = side // 8
    weights = np.random.default_rng(0).normal(0, 0.1, (3 * pooled * pooled, outputs)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["input.1"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["small"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["1333"]),
    ]
    picture = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [None, 3, side, side])
    result = helper.make_tensor_value_info("1333", TensorProto.FLOAT, [None, outputs])
    graph = helper.make_graph(nodes, "arcface", [picture], [result], [numpy_helper.from_array(weights, "weights")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> AuraFaceEmbedder:
    return AuraFaceEmbedder(save_network(tmp_path_factory.mktemp("auraface") / "glintr100.onnx"))


@pytest.fixture(scope="module")
def astronaut(finder) -> SourcePhoto:
    pixels = photos.astronaut()
    return SourcePhoto(pixels, finder.find(pixels)[0])


def moved(mesh: np.ndarray, degrees: float, scale: float, offset: tuple[float, float]) -> np.ndarray:
    turn = np.radians(degrees)
    matrix = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.c_[mesh[:, :2] @ matrix + offset, mesh[:, 2] * scale].astype(np.float32)


def test_a_face_is_moved_to_where_arcface_networks_expect_it(astronaut):
    points = keypoints(astronaut.face.mesh)[:, :2]

    found = alignment(astronaut.face.mesh)

    # The function that insightface calls.
    np.testing.assert_allclose(found, SimilarityTransform.from_estimate(points, ALIGNED).params[:2], atol=1e-3)
    placed = points @ found[:, :2].T + found[:, 2]
    assert np.abs(placed - ALIGNED).max() < 8


def test_where_and_how_large_a_face_is_does_not_matter(astronaut):
    mesh = astronaut.face.mesh

    for degrees, scale, offset in ((0, 1, (40, 7)), (30, 2, (0, 0)), (-170, 0.3, (9, 900))):
        other = moved(mesh, degrees, scale, offset)
        places = [np.c_[each[:, :2], np.ones(len(each))] @ alignment(each).T for each in (mesh, other)]
        np.testing.assert_allclose(places[0], places[1], atol=0.02)


def test_an_embedding_has_512_numbers_a_length_of_one_and_depends_on_the_face(network, astronaut):
    embedding = network.embed(astronaut.pixels, astronaut.face)
    other = network.embed(255 - astronaut.pixels, astronaut.face)

    assert (embedding.shape, embedding.dtype) == ((512,), np.float32)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    assert cosine(embedding, embedding) == pytest.approx(1)
    assert cosine(embedding, other) < 0


def test_pixels_are_given_as_rgb_from_minus_one_to_one(network, monkeypatch, astronaut):
    seen = []
    monkeypatch.setattr(
        network, "_network", SimpleNamespace(run=lambda names, feed: seen.append(feed) or [np.ones(512)])
    )
    red = np.zeros_like(astronaut.pixels)
    red[..., 0] = 255

    network.embed(red, astronaut.face)

    ((name, values),) = seen[0].items()
    assert (name, values.shape, values.dtype) == ("input.1", (1, 3, 112, 112), np.float32)
    assert [values[0, channel, 60, 60] for channel in range(3)] == [1, -1, -1]


def test_another_network_is_refused(tmp_path):
    for path in (save_network(tmp_path / "short.onnx", outputs=128), save_network(tmp_path / "large.onnx", side=160)):
        with pytest.raises(WeightsError, match="512 numbers"):
            AuraFaceEmbedder(path)
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        AuraFaceEmbedder(tmp_path / "text.onnx")


def test_the_second_network_is_used_where_its_weight_is_installed(tmp_path, weights, monkeypatch):
    weight, dlib_path = CATALOG.weights["auraface"], weights.path("dlib_face")
    (tmp_path / "auraface").mkdir()
    path = save_network(tmp_path / weight.place)
    monkeypatch.setattr(Weights, "path", lambda self, name: path if name == "auraface" else dlib_path)

    assert (weight.business, weight.place) == (True, "auraface/glintr100.onnx")
    assert FaceEmbedder(Weights(tmp_path)).second is not None
    assert FaceEmbedder(Weights(tmp_path / "none")).second is None


FACE = Face(Box(0, 0, 9, 9), 1, np.zeros((468, 3), np.float32))


def judge_two(distance: float, similarity: float) -> tuple[bool, float | None]:
    """The verdict of both networks on a picture with one face."""
    reference, second = np.float32([0, 0]), np.float32([1, 0])
    one, other = np.float32([distance, 0]), np.float32([similarity, (1 - similarity**2) ** 0.5])
    embedder = SimpleNamespace(embed=lambda *face: one, second=SimpleNamespace(embed=lambda *face: other))
    finder = SimpleNamespace(find=lambda pixels: (FACE,))
    found = judge_likeness(np.zeros((9, 9, 3), np.uint8), reference, finder, embedder, second=second)
    assert found.reasons == (() if found.accepted else (Reason.NOT_ALIKE,))
    return found.accepted, found.cosine


def test_both_networks_must_see_the_person():
    assert judge_two(0.5, MIN_COSINE + 0.01) == (True, pytest.approx(MIN_COSINE + 0.01))
    assert judge_two(0.5, MIN_COSINE - 0.01)[0] is False
    assert judge_two(0.54, 0.9)[0] is False
