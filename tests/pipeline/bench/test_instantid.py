"""The benchmark at tiny size: the same code that measures a GPU, on networks of some thousand weights."""

import gc
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest

from tests.helpers.torch_needed import require_torch

require_torch()

import torch

from pipeline.__main__ import main
from pipeline.bench import packs, plain, table
from pipeline.bench.clock import require_device
from pipeline.bench.instantid import batches
from pipeline.bench.packs import PACK_KINDS, Everything, measure_packs, packs_as_markdown
from pipeline.bench.setup import Options, build_engine, choose_batch
from pipeline.bench.table import as_markdown, describe, measure_table, order
from pipeline.diffusion.optimizations import LOSSY, Optimization, default_optimizations
from pipeline.engines.instantid.config import Sampling
from pipeline.engines.instantid.networks.flops import PictureFlops, count_flops
from pipeline.engines.instantid.networks.load import make_scheduler
from pipeline.engines.instantid.networks.random_weights import SCHEDULER_CONFIG, SDXL, TINY, Architecture, build_parts
from pipeline.errors import EngineUnavailable
from pipeline.types import Size
from pipeline.upscaling.rrdb_weights import layer_shapes

OPTIONS = Options(TINY, images=3, size=Size(64, 80), sampling=Sampling(3), device="cpu", max_batch=2)

# What a machine lacks that has the repository, torch and diffusers, and nothing else of the product.
ABSENT = "cv2,django,celery,ai_edge_litert,dlib,scipy,skimage,insightface,onnx,onnxruntime"
BARE_MACHINE = """
import sys
from importlib.machinery import PathFinder
absent = set(sys.argv.pop(1).split(","))
class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
from pipeline.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> Iterator[None]:
    """Spare the garbage collector, which the benchmark calls before each row, all that this process has loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def flops() -> PictureFlops:
    """Count the operations of the tiny networks once."""
    return count_flops(TINY, OPTIONS.size)


def by_hand(architecture: Architecture, size: Size) -> float:
    """The tera operations of the upscaler: all its layers are convolutions of 3 x 3 pixels."""
    enlarged = {"conv_up1": 4, "conv_up2": 16, "conv_hr": 16, "conv_last": 16}
    shapes = layer_shapes(*architecture.upscaler).items()
    passes = sum(enlarged.get(name, 1) * outputs * inputs for name, (outputs, inputs) in shapes)
    return 2 * 9 * passes * size.width * size.height / 1e12


def test_operations_are_counted_as_by_hand(flops):
    assert flops.upscaler == pytest.approx(by_hand(TINY, OPTIONS.size), rel=1e-6)
    assert by_hand(SDXL, Size(1024, 1024)) == pytest.approx(37.6, abs=0.05)
    assert min(flops.unet, flops.controlnet, flops.condition, flops.vae) > 0
    # Three steps of two rows each. The condition is computed once.
    steps = 6 * (flops.unet + flops.controlnet) + flops.condition
    assert flops.denoising(Sampling(3), default_optimizations("cuda")) == pytest.approx(steps)


def test_the_full_networks_have_the_published_sizes():
    parts = build_parts(SDXL, "meta", torch.float32)

    def size(*networks: torch.nn.Module) -> int:
        return sum(weight.numel() for network in networks for weight in network.parameters())

    face_attention = sum(
        size(processor) for processor in parts.unet.attn_processors.values() if isinstance(processor, torch.nn.Module)
    )
    assert size(parts.unet) - face_attention == 2_567_463_684
    assert size(parts.controlnet) == 1_251_014_160
    assert size(parts.vae) == 83_653_863
    assert size(parts.text_encoders[0]) == 123_060_480
    assert size(parts.text_encoders[1]) == 694_659_840


def test_the_counted_work_of_the_full_networks_is_the_published_one():
    flops = count_flops(SDXL, Size(1024, 1024))

    assert flops.unet == pytest.approx(6.78, abs=0.01)
    assert flops.controlnet + flops.condition == pytest.approx(2.99, abs=0.01)
    assert flops.vae == pytest.approx(10.5, abs=0.05)
    assert flops.upscaler == pytest.approx(37.6, abs=0.05)
    assert flops.denoising(Sampling(30), default_optimizations("cuda")) == pytest.approx(583, abs=4)


def test_lossy_optimizations_need_less_work_and_lossless_ones_the_same(flops):
    sampling = Sampling(10)
    whole = flops.denoising(sampling, frozenset())

    assert flops.denoising(sampling, default_optimizations("cuda")) == whole
    for optimization in (Optimization.GUIDANCE_CUTOFF, Optimization.CONTROL_CUTOFF, Optimization.FEW_STEP):
        assert flops.denoising(sampling, frozenset({optimization})) < whole


@pytest.fixture
def bare_command() -> Iterator[ModuleType]:
    """The module of the command line, imported anew as on a machine that lacks the packages of ABSENT.

    Torch and diffusers stay as they were loaded here."""
    affected = {"pipeline", *ABSENT.split(",")}

    def take_out() -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in affected}

    # The first scheduler makes diffusers load all of them, some with scipy, which it has seen here.
    make_scheduler(SCHEDULER_CONFIG, Sampling(), torch.device("cpu"))
    before = take_out()
    # An import of what is None fails as if it were not installed.
    sys.modules.update(dict.fromkeys(ABSENT.split(",")))
    yield importlib.import_module("pipeline.__main__")
    take_out()
    sys.modules.update(before)


def test_a_pack_and_the_plain_way_are_measured_and_compared_where_little_but_torch_is_installed(bare_command, capsys):
    words = "bench instantid --weights random --networks tiny --device cpu --size 64x80 --images 2 --steps 2 --json"

    assert bare_command.main([*words.split(), "--reference"]) == 0

    report = json.loads(capsys.readouterr().out)
    ours, reference = report["ours"], report["reference"]
    assert ours["pictures_per_minute"] > 0
    assert ours["lossless"]
    assert {"denoising", "decoding", "enlarging", "waiting for JPEG"} <= ours["stages_seconds"].keys()
    assert ours["tflop_per_picture"] == reference["tflop_per_picture"]
    assert report["ratio"] == pytest.approx(ours["pictures_per_minute"] / reference["pictures_per_minute"], abs=0.01)


def test_one_call_measures_the_reference_a_pack_of_each_kind_and_the_table(capsys, monkeypatch):
    base = default_optimizations("cpu")
    monkeypatch.setattr(table, "order", lambda *_, **__: [base, base | {Optimization.GUIDANCE_CUTOFF}])
    monkeypatch.setattr(table, "STEPS", 2)
    monkeypatch.setattr(plain, "REFERENCE_PICTURES", 1)
    words = "bench instantid --weights random --networks tiny --device cpu --size 64x80 --images 2 --steps 2 --json"

    assert main([*words.split(), "--table", "--reference"]) == 0

    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["machine"]["packages"]["torch"]
    assert report["reference"]["stages_seconds"]["denoising"] > 0
    assert [(pack["kind"], pack["target_seconds"]) for pack in report["packs"]] == [
        ("lossless", 110),
        ("lossy", 60),
        ("few_step", 20),
    ]
    for pack in report["packs"]:
        assert pack["finite"]
        assert pack["pack_seconds"] == pytest.approx(25 * pack["seconds"], rel=0.1)
        assert {"conditions", "denoising", "decoding", "enlarging", "copying"} <= pack["stages_seconds"].keys()
        assert f"{pack['kind']}: {pack['pack_seconds']} s for 50 pictures" in printed.err
    assert [pack["lossless"] for pack in report["packs"]] == [True, False, False]
    assert [row["name"] for row in report["table"]] == ["all lossless except compile", "+guidance_cutoff"]


def test_a_kind_of_pack_that_fails_costs_no_other_and_networks_are_shared(monkeypatch, flops):
    built: list[frozenset[Optimization]] = []
    engine = build_engine(OPTIONS, frozenset())

    def count(options, optimizations):
        built.append(optimizations)
        return engine

    def measure(options, optimizations, engine, flops, echo):
        if Optimization.FP8 not in optimizations:
            raise torch.OutOfMemoryError("out of memory\nand a long story")
        return {"seconds": 6.0, "images": 3, "pictures_per_minute": 30.0, "stages_seconds": {"denoising": 3.0}}

    monkeypatch.setattr(packs, "build_engine", count)
    monkeypatch.setattr(packs, "measure_pack", measure)

    reports = measure_packs(OPTIONS, flops, lambda message: None)

    assert len(built) == 2 < len(PACK_KINDS)
    assert reports[0]["failed"] == "out of memory"
    assert [report.get("pack_seconds") for report in reports] == [None, 100.0, 100.0]
    lines = packs_as_markdown(Everything({}, measure(None, LOSSY, None, None, None), reports, [])).splitlines()
    assert lines[0].startswith("| pack | seconds per 50 | target, H100 | denoising |")
    assert lines[2:4] == ["| reference | 100.0 | – | 50.0 | – | – | – |", "| lossless | – | 110 | – | – | – | – |"]


LOSSLESS_ROWS = {f"-{optimization}" for optimization in default_optimizations("cpu")}
LOSSY_ROWS = {f"+{optimization}" for optimization in LOSSY - {Optimization.HALF_VAE}}
ROWS = {"all lossless except compile", "none"} | LOSSLESS_ROWS | LOSSY_ROWS


def measure_rows(capsys, monkeypatch) -> list[dict[str, object]]:
    # With two steps, one is before the cutoffs and one after them.
    monkeypatch.setattr(table, "STEPS", 2)
    words = "bench instantid --weights random --networks tiny --device cpu --size 64x80 --images 2 --table --json"

    assert main(words.split()) == 0

    rows = json.loads(capsys.readouterr().out)["table"]
    assert all(row["seconds"] and row["times"] for row in rows)
    assert {row["name"] for row in rows if not row["lossless"]} == LOSSY_ROWS & {row["name"] for row in rows}
    assert rows[0]["times"] == 1
    return rows


def test_the_table_has_a_row_for_every_optimization_that_changes_a_step(capsys, monkeypatch):
    assert {row["name"] for row in measure_rows(capsys, monkeypatch)} == ROWS


def test_rows_are_measured_in_the_order_of_the_table(capsys, monkeypatch):
    base = default_optimizations("cpu")
    whole = order(base, compiled=False)
    assert {describe(optimizations, base) for optimizations in whole} == ROWS
    # The first row, one that uses its networks, and two whose networks are built anew.
    few = [whole[0], base | {Optimization.GUIDANCE_CUTOFF}, frozenset[Optimization](), whole[-1]]
    assert all(each in whole for each in few)
    monkeypatch.setattr(table, "order", lambda *_, **__: few)

    rows = measure_rows(capsys, monkeypatch)

    assert [row["name"] for row in rows] == [describe(each, base) for each in few]


def test_on_a_gpu_the_table_says_what_compiling_adds_and_8_bit_on_top_of_it():
    base = default_optimizations("cuda") - {Optimization.COMPILE}

    names = [describe(optimizations, base) for optimizations in order(base, compiled=True)]

    assert names[0] == "all lossless except compile"
    assert names[-4:] == ["+compile", "+compile +fp8", "+compile +int8", "+compile +cuda_graphs"]
    assert "-cudnn_search" in names


def test_networks_are_built_anew_only_where_needed_and_a_row_that_fails_costs_no_other(monkeypatch):
    built: list[frozenset[Optimization]] = []
    # The test above builds them all. Here one engine is enough, because no row uses it.
    engine = build_engine(OPTIONS, frozenset())

    def count(options, optimizations):
        built.append(optimizations)
        return engine

    def too_large(networks, options, optimizations):
        if Optimization.FLASH_ATTENTION not in optimizations:
            raise torch.OutOfMemoryError("out of memory\nand a long story")
        return 1.0, 0.0

    monkeypatch.setattr(table, "build_engine", count)
    monkeypatch.setattr(table, "measure_row", too_large)
    heard: list[str] = []

    rows = measure_table(OPTIONS, heard.append)

    # As they are for the first row; without each of three; without any; in 8 bits twice.
    assert len(built) == 7 < len(rows)
    assert {row.name for row in rows if row.seconds is None} == {"-flash_attention", "none"}
    assert "none failed: out of memory" in heard


def test_when_time_is_up_the_table_says_what_was_not_measured():
    rows = measure_table(OPTIONS, lambda message: None, last_start_seconds=-1)

    assert {row.seconds for row in rows} == {None}
    assert "| none | lossless | – | – | – | – |" in as_markdown(rows)


@pytest.mark.parametrize(("images", "batch"), [(50, 10), (5, 3), (7, 3), (1, 1)])
def test_every_picture_of_a_pack_is_made_once(images, batch):
    for static in (False, True):
        assert sum(batches(images, batch, static)) == images


def test_compiled_packs_are_cut_so_that_no_single_pictures_are_left_over():
    for images, limit, batch in ((50, 10, 10), (50, 8, 5), (4, 10, 4), (7, 4, 4)):
        options = replace(OPTIONS, images=images, max_batch=limit)
        assert choose_batch(options, frozenset({Optimization.COMPILE}), torch.device("cpu")) == batch


def test_without_a_gpu_the_benchmark_says_so():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(EngineUnavailable, match="NVIDIA"):
        require_device("cuda")


def test_the_command_runs_on_a_machine_that_has_torch_and_little_else():
    words = "bench instantid --weights random --networks tiny --device cpu --size 64x80 --images 2 --steps 2 --json"

    # One thread, as in this process (see require_torch).
    ran = subprocess.run(
        [sys.executable, "-c", BARE_MACHINE, ABSENT, *words.split()],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["ours"]["pictures_per_minute"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("bench instantid", "random"),
        ("bench instantid --weights random --optimization +warp", "known optimizations"),
        ("bench instantid --weights random --size big", "896x1152"),
    ],
)
def test_a_wrong_call_is_explained(words, said, capsys):
    assert main(words.split()) == 3
    assert said in capsys.readouterr().err
