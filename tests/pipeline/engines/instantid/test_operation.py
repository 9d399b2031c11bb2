"""InstantID is installed, chosen, examined and proven; what is broken is said, and no other engine takes its place."""

import io
import json
import re
import shutil
from dataclasses import replace

import pytest

from tests.helpers.torch_needed import require_torch

require_torch("insightface", "onnx", "onnxruntime", "huggingface_hub")

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pipeline.__main__ import main
from pipeline.engines import create_engine
from pipeline.engines.instantid.options import InstantIDOptions, needed_weights
from pipeline.engines.report import examine
from pipeline.errors import EngineUnavailable, LicenseError, WeightsError
from pipeline.types import PREVIEW
from pipeline.weights import CATALOG, LicensePolicy, Weights
from tests.helpers import photos
from tests.helpers.fake_hub import serve_hub
from tests.pipeline.engines.instantid.tiny_catalog import OPTIONS, TinyWeights, build_tiny_weights

pytestmark = pytest.mark.filterwarnings("ignore:`estimate` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> TinyWeights:
    tiny = build_tiny_weights(tmp_path_factory.mktemp("tiny"))
    tiny.install()
    return tiny


@pytest.fixture
def tiny(built, tmp_path) -> TinyWeights:
    """Installed weights of one's own, to be broken."""
    shutil.copytree(built.directory, tmp_path / "weights")
    return replace(built, directory=tmp_path / "weights")


def words(tiny: TinyWeights, *more: str) -> list[str]:
    """The command line's words for these weights at this size."""
    place = ["--weights", str(tiny.directory), "--catalog", str(tiny.catalog)]
    return [*more, *place, "--device", "cpu", "--steps", "2", "--canvas-pixels", str(OPTIONS.canvas_pixels)]


def test_auto_is_instantid_where_it_was_installed_and_studio_where_it_never_was(built, weights):
    assert create_engine("auto", built.open(), OPTIONS).name == "instantid"
    assert create_engine("auto", weights, OPTIONS).name == "studio"


def test_a_fetch_from_a_hub_installs_everything(built, tmp_path, capsys):
    tiny = replace(built, directory=tmp_path / "weights")
    with serve_hub() as hub:
        for file in (path for path in tiny.source.rglob("*") if path.is_file()):
            hub.add(f"tests/tiny/{file.relative_to(tiny.source)}", file.read_bytes(), large=file.suffix != ".json")
        place = ["--weights", str(tiny.directory), "--catalog", str(tiny.catalog)]

        status = main(["weights", "fetch", "instantid", "--yes", "--endpoint", hub.url, *place])

    said = capsys.readouterr().err
    assert status == 0, said
    assert "antelopev2" in said
    assert "none; NOT for commercial use" in said
    assert create_engine("instantid", tiny.open(), OPTIONS).name == "instantid"
    assert not list(tiny.directory.rglob("*.bin")), "pickles stay where they came from"


def test_a_fetch_that_was_not_completed_leaves_auto_with_the_studio(built, tmp_path):
    tiny = replace(built, directory=tmp_path / "weights")
    weights = tiny.open()

    weights.copy_files(["realvisxl", "antelopev2"], tiny.source, lambda share: None)

    assert not weights.is_installed("instantid_parts")


def damage_missing(tiny: TinyWeights) -> None:
    (tiny.directory / "instantid_adapter" / "weights.safetensors").unlink()


def damage_truncated(tiny: TinyWeights) -> None:
    path = tiny.directory / "realvisxl" / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def damage_hash(tiny: TinyWeights) -> None:
    path = tiny.directory / "instantid_controlnet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (damage_missing, "instantid_adapter is missing"),
        (damage_truncated, "realvisxl is .* bytes long instead of"),
        (damage_hash, "instantid_controlnet is not the pinned file: its sha256 differs"),
    ],
)
def test_an_installed_engine_with_a_bad_weight_refuses_to_start_and_the_report_says_why(tiny, damage, fault):
    damage(tiny)

    with pytest.raises(WeightsError, match=rf"{fault}.*Fix: python -m pipeline weights fetch"):
        create_engine("auto", tiny.open(), OPTIONS)

    report = examine(tiny.open(), OPTIONS)
    assert (report.chosen, report.ready) == ("instantid", False)
    assert any(fault.split(" is ")[0] in line for line in report.engines[1].missing)


def test_a_weight_of_another_shape_is_named_by_the_report_though_its_hash_is_right(tmp_path):
    tiny = build_tiny_weights(tmp_path)
    path = tiny.source / "instantid_controlnet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, next(iter(tensors)): torch.zeros(3, 3)}, path)
    tiny.write_catalog()
    weights = tiny.install()

    report = examine(weights, OPTIONS)

    assert not report.ready
    assert "instantid_controlnet cannot be loaded" in report.engines[1].missing[0]
    with pytest.raises(WeightsError, match="instantid_controlnet cannot be loaded"):
        create_engine("auto", weights, OPTIONS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_cuda_nothing_starts_unless_the_cpu_was_asked_for(built):
    on_cuda = replace(OPTIONS, device="cuda")

    with pytest.raises(EngineUnavailable, match="needs an NVIDIA GPU, but torch"):
        create_engine("auto", built.open(), on_cuda)

    report = examine(built.open(), on_cuda)
    assert not report.ready
    assert any("NVIDIA GPU" in fault for fault in report.engines[1].missing)


@pytest.fixture
def one_card(monkeypatch) -> type:
    """What torch would say of the only GPU."""

    class Card:
        name, total_memory, major, minor = "NVIDIA A100", 40_000_000_000, 8, 0

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Card)
    return Card


def test_a_gpu_with_too_little_memory_is_refused_with_what_it_takes(built, one_card):
    one_card.total_memory = 8_000_000_000

    with pytest.raises(EngineUnavailable, match=r"has 8\.0 GB of memory, but the InstantID engine needs 12 GB"):
        create_engine("auto", built.open(), replace(OPTIONS, device="cuda"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device": "cuda:1"}, "There is no GPU cuda:1: torch finds 1"),
        ({"device": "cuda", "optimizations": ("+fp8",)}, "compute capability 8.9"),
        ({"device": "cuda", "optimizations": ("+fp8", "+int8")}, "choose one"),
        ({"device": "cuda", "optimizations": ("+warp",)}, "known optimizations"),
    ],
)
def test_what_this_gpu_cannot_do_is_said_by_the_report_and_refused_at_the_start(built, one_card, change, said):
    options = replace(OPTIONS, **change)

    report = examine(built.open(), options)

    assert not report.ready
    assert any(said in fault for fault in report.engines[1].missing)
    with pytest.raises(EngineUnavailable, match=re.escape(said)):
        create_engine("auto", built.open(), options)


def test_while_payments_are_live_it_needs_a_license_statement(built):
    catalog = built.open().catalog
    earning = Weights(built.directory, catalog, LicensePolicy(business=True))
    licensed = Weights(built.directory, catalog, LicensePolicy(True, "insightface, contract 7"))

    with pytest.raises(LicenseError, match="antelopev2"):
        create_engine("auto", earning, OPTIONS)

    assert any("antelopev2" in fault for fault in examine(earning, OPTIONS).engines[1].missing)
    assert examine(licensed, OPTIONS).ready


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (InstantIDOptions(device="gpu"), "must be cuda, cuda:N or cpu"),
        (InstantIDOptions(optimizations=("fp8",)), "is not a \\+optimization"),
        (InstantIDOptions(steps=-1), "must not be negative"),
        (InstantIDOptions(max_batch=0), "must be at least 1"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, fault):
    assert re.search(fault, options.fault or "")


def test_only_what_the_options_ask_for_is_needed(weights):
    plain, lightning = InstantIDOptions(), InstantIDOptions(checkpoint="sdxl_base", optimizations=("+few_step",))

    assert set(needed_weights(weights, plain)) == set(CATALOG.groups["instantid"])
    assert "sdxl_lightning_4step" in needed_weights(weights, lightning)
    assert "realvisxl" not in needed_weights(weights, lightning)
    with pytest.raises(EngineUnavailable, match="known: realvisxl, sdxl_base"):
        needed_weights(weights, InstantIDOptions(checkpoint="mona_lisa"))


def test_the_report_finds_nothing_wrong_with_a_whole_engine(built, capsys):
    status = main(words(built, "engines", "--json"))

    report = json.loads(capsys.readouterr().out)
    assert status == 0
    assert report["chosen"] == "instantid"
    assert report["engines"][1]["ready"]
    assert "CPU, as configured" in report["engines"][1]["notes"][0]


def test_a_proof_makes_four_pictures_a_contact_sheet_and_figures(built, tmp_path, capsys):
    out = tmp_path / "proof"

    status = main(words(built, "prove", str(photos.astronaut_path()), "--out", str(out), "--json", "--with-pictures"))

    report = json.loads(capsys.readouterr().out)
    assert status == 1, "noise is nobody"
    assert report["engine"] == "instantid"
    assert (report["pictures"], report["accepted"]) == (4, 0)
    assert report["settings"]["steps"] == 2
    assert report["seconds"].keys() == {"loading", "preparing", "denoising", "finishing", "judging"}
    assert min(report["seconds"].values()) > 0
    assert report["machine"]["torch"]["version"] == torch.__version__
    pictures = sorted((out / "pictures").glob("person-1-*.jpg"))
    assert [Image.open(file).size for file in pictures] == [(PREVIEW.width, PREVIEW.height)] * 4
    sheet = Image.open(io.BytesIO((out / "pictures" / "contact-sheet-1.jpg").read_bytes()))
    assert sheet.width > 2 * sheet.height
    assert json.loads((out / "report.json").read_text()) == report


def test_a_proof_without_a_folder_is_refused(built, capsys):
    assert main(words(built, "prove", str(photos.astronaut_path()))) == 3
    assert "arguments are required: --out" in capsys.readouterr().err
