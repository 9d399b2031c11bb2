"""Enlarging: any size, in tiles whose seams nobody sees, stoppable; weights from every file they come in."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import main
from pipeline.errors import Canceled, WeightsError
from pipeline.upscaling.rrdb_mnn import MnnNetwork
from pipeline.upscaling.rrdb_weights import layer_shapes, read_rrdb, verify_official
from pipeline.upscaling.tiles import EDGE_CONTEXT, OVERLAP, Tile, plan_tiles, visible_area
from pipeline.upscaling.upscale import TorchUpscaler, enlarge_plainly, upscale

# A network of 2 blocks and 4 channels, saved by torch, and what torch makes of a picture of 13 x 9 px with it.
TINY = Path(__file__).parents[2] / "golden" / "realesrgan" / "tiny.pth"


class PlainNetwork:
    """Enlarges without a network and remembers how large the pictures were."""

    def __init__(self) -> None:
        self.areas: list[int] = []

    def upscale(self, pixels, on_progress=lambda share: None):
        self.areas.append(pixels.shape[0] * pixels.shape[1])
        on_progress(1.0)
        return enlarge_plainly(pixels)


def silent(share: float) -> None:
    assert 0 <= share <= 1


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def tiny():
    return MnnNetwork(read_rrdb(TINY))


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory):
    """The tiny network in a form that the command accepts: it takes no .pth but the released one."""
    header, data = {}, b""
    for name, tensor in read_rrdb(TINY).items():
        values = tensor.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    path = tmp_path_factory.mktemp("network") / "tiny.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_the_graph_computes_what_torch_computes(tiny):
    golden = np.load(TINY.with_suffix(".npz"))

    enlarged = tiny.upscale(golden["picture"], silent)

    assert np.abs(enlarged / 255 - golden["enlarged"]).max() <= 0.51 / 255


def test_torch_reads_the_same_file_and_computes_the_same():
    pytest.importorskip("torch")
    golden = np.load(TINY.with_suffix(".npz"))

    enlarged = TorchUpscaler.load(TINY, "cpu").upscale(golden["picture"])

    assert np.abs(enlarged / 255 - golden["enlarged"]).max() <= 0.51 / 255


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (63, 9), (127, 81)])
def test_any_size_comes_out_four_times_as_large(tiny, shape):
    assert upscale(noise(*shape), tiny, silent, tile_px=24).shape == (4 * shape[0], 4 * shape[1], 3)


def test_tiles_of_a_network_that_sees_less_far_than_their_context_are_the_whole_picture(tiny):
    picture = noise(150, 131)

    whole = tiny.upscale(picture, silent)
    tiled = upscale(picture, tiny, silent, tile_px=48)

    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_no_tile_is_larger_than_asked_for_plus_its_context():
    network = PlainNetwork()

    upscale(noise(500, 400), network, silent, tile_px=100)

    assert max(network.areas) <= (500 + 2 * OVERLAP) * (100 + 2 * OVERLAP)
    assert len(network.areas) > 10


def test_only_what_is_wanted_costs_work_and_all_of_it_is_covered():
    wanted = np.zeros((480, 400), np.bool_)
    wanted[60:300, 130:270] = True
    wanted[300:, 20:380] = True

    tiles = plan_tiles(wanted, 448)

    covered = np.zeros_like(wanted)
    for tile in tiles:
        covered[tile.top : tile.bottom, tile.left : tile.right] = True
    assert covered[wanted].all()
    assert sum(tile.grown(OVERLAP, visible_area(wanted)).area for tile in tiles) < 0.8 * wanted.size


def test_no_tile_sees_far_beyond_what_is_wanted():
    wanted = np.zeros((200, 160), np.bool_)
    wanted[5:100, 40:90] = True

    assert visible_area(wanted) == Tile(0, 100 + EDGE_CONTEXT, 40 - EDGE_CONTEXT, 90 + EDGE_CONTEXT)
    assert visible_area(np.zeros((9, 9), np.bool_)).area == 0


def test_what_nobody_wants_is_enlarged_plainly(tiny):
    picture = noise(100, 64)

    enlarged = upscale(picture, tiny, silent, wanted=np.zeros((100, 64), np.bool_))

    assert np.array_equal(enlarged, enlarge_plainly(picture))


def test_half_a_plain_share_lies_half_way(tiny):
    picture = noise(80, 60)

    network = upscale(picture, tiny, silent).astype(float)
    plain = enlarge_plainly(picture).astype(float)
    half = upscale(picture, tiny, silent, plain_share=0.5)

    assert np.abs(half - (network + plain) / 2).max() <= 1


def test_grain_has_the_deviation_that_was_asked_for():
    gray = np.full((60, 60, 3), 128, np.uint8)

    grained = upscale(gray, PlainNetwork(), silent, grain=3)

    assert 2.8 < grained.astype(float).std() < 3.2


def test_progress_grows_to_one_and_is_heard_within_a_tile(tiny):
    shares: list[float] = []

    upscale(noise(64, 64), tiny, shares.append, tile_px=64)

    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) >= 3


def test_it_stops_when_the_caller_says_so(tiny):
    def stop(share: float) -> None:
        raise Canceled

    with pytest.raises(Canceled):
        upscale(noise(64, 64), tiny, stop)


def test_a_picture_of_absurd_size_is_refused_before_room_is_made_for_it(tiny):
    absurd = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (100_000, 100_000, 3))

    with pytest.raises(ValueError, match="100000 x 100000"):
        upscale(absurd, tiny, silent)


def test_half_precision_of_ncnn_is_read_as_what_it_stands_for(tmp_path):
    rng = np.random.default_rng(0)
    values, data = {}, io.BytesIO()
    for name, (outputs, inputs) in layer_shapes(64, 32, 23).items():
        values[name] = rng.random((outputs, inputs, 3, 3), np.float32).astype("<f2")
        data.write(b"\x47\x6b\x30\x01" + values[name].tobytes() + np.full(outputs, 0.5, "<f4").tobytes())
    (tmp_path / "x4.bin").write_bytes(data.getbuffer())

    tensors = read_rrdb(tmp_path / "x4.bin")

    assert all(np.array_equal(tensors[f"{name}.weight"], value) for name, value in values.items())
    assert tensors["conv_last.bias"].tolist() == [0.5] * 3


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", bytes(1000)])
@pytest.mark.parametrize("ending", [".pth", ".bin", ".safetensors"])
def test_a_broken_weight_file_is_named(tmp_path, damage, ending):
    path = tmp_path / f"broken{ending}"
    path.write_bytes(damage)

    with pytest.raises(WeightsError, match=f"broken{ending} is not an x4 RRDBNet"):
        read_rrdb(path)


class Hostile:
    def __reduce__(self):
        return print, ("a checkpoint ran code",)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "hostile.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"params_ema": Hostile()}))

    with pytest.raises(WeightsError, match=r"builtins\.print"):
        read_rrdb(tmp_path / "hostile.pth")
    assert capsys.readouterr().out == ""


def test_only_the_released_checkpoint_passes_for_it():
    with pytest.raises(WeightsError, match="not the released"):
        verify_official(TINY)


def test_the_command_enlarges_a_file(tmp_path, capsys):
    Image.fromarray(noise(11, 17)).save(tmp_path / "in.png")

    status = main(["upscale", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--tile", "16"])

    assert status == 0
    assert Image.open(tmp_path / "out.png").size == (68, 44)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_command_enlarges_transparency_too(tmp_path, tiny_file):
    picture = Image.fromarray(noise(11, 17))
    picture.putalpha(Image.linear_gradient("L").resize((17, 11)))
    picture.save(tmp_path / "in.png")

    for name in ("out.png", "out.jpg"):
        words = ["upscale", str(tmp_path / "in.png"), str(tmp_path / name)]
        # The tiny network's colors are random; a plain enlargement keeps white.
        assert main([*words, "--network", str(tiny_file), "--blend", "1"]) == 0

    enlarged = Image.open(tmp_path / "out.png")
    assert (enlarged.mode, enlarged.size) == ("RGBA", (68, 44))
    expected = picture.getchannel("A").resize((68, 44), Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(enlarged.getchannel("A"), int) - np.asarray(expected, int)).max() <= 1
    # A JPEG has no transparency: there it is on white.
    assert np.asarray(Image.open(tmp_path / "out.jpg"))[0].mean() > 230


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["in.png", "out.gif"], "must end with"),
        (["absent.png", "out.png"], "No such file"),
        (["note.txt", "out.png"], "not a JPEG"),
        (["in.png", "out.png", "--tile", "3"], "must be at least 8"),
        (["in.png", "out.png", "--blend", "2"], "not a number between 0 and 1"),
        # A network that is not there: the complaint comes before the work.
        (["in.png", "absent/out.png", "--network", "absent.bin"], "absent: no such folder; create it first"),
        (
            ["wide.png", "out.jpg", "--network", "absent.bin"],
            "out.jpg: a JPEG has at most 65,500 px per edge; use a .png file instead",
        ),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_writes_nothing(tmp_path, monkeypatch, capsys, words, complaint):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise(11, 17)).save("in.png")
    Image.fromarray(noise(2, 16_384)).save("wide.png")
    Path("note.txt").write_text("no picture")

    status = main(["upscale", *words])

    assert status == 3
    assert complaint in capsys.readouterr().err
    assert not Path(words[1]).exists()
