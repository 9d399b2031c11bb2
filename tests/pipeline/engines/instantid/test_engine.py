"""The whole InstantID engine on a real photo, with tiny networks: their pictures are noise, the flow is real."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.torch_needed import require_torch

require_torch("insightface", "onnx", "onnxruntime")

import torch
from safetensors.torch import load_file, save_file

import pipeline.engines.instantid.engine as engine_module
from pipeline.diffusion.memory import device_errors, loading
from pipeline.diffusion.optimizations import Optimization, default_optimizations
from pipeline.engines.instantid.config import InstantIDConfig, Proportions
from pipeline.engines.instantid.engine import InstantIDEngine
from pipeline.engines.instantid.heads import TEMPLATE_HEAD, measure_head
from pipeline.errors import Canceled, DeviceLost, EngineUnavailable, FaceNotFound, WeightsError
from pipeline.styles.shot_list import load_styles, plan_shots
from pipeline.types import Box, Job, Size, SourcePhoto
from pipeline.weights.convert import convert_adapter
from tests.helpers import photos
from tests.pipeline.engines.instantid.tiny_instantid import GOLDEN, SIZE, build_config, source_photo

LARGE = Size(4 * SIZE.width, 4 * SIZE.height)
ASTRONAUT_FACE = Box(170, 60, 280, 190)
# insightface 2.1 uses a call that scikit-image will drop.
pytestmark = pytest.mark.filterwarnings("ignore:`estimate` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> InstantIDConfig:
    return build_config(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def engine(config) -> InstantIDEngine:
    return InstantIDEngine(config)


@pytest.fixture
def fresh_engine(config) -> InstantIDEngine:
    """For tests that put the engine into a state."""
    return InstantIDEngine(config)


@pytest.fixture(scope="module")
def subject(engine):
    return engine.prepare([source_photo(photos.astronaut(), ASTRONAUT_FACE)], SIZE)


def jobs_for(subject, count=3, seed=1):
    return [Job(subject, shot) for shot in plan_shots(load_styles(), count, seed)]


def render(engine, jobs, size=SIZE):
    return [picture.pixels for picture in engine.render(jobs, size, lambda share: None)]


def test_a_real_photo_becomes_pictures_of_the_size_that_was_asked(engine, subject):
    jobs = jobs_for(subject, 5)

    pictures = list(engine.render(jobs, SIZE, lambda share: None))

    assert [picture.job for picture in pictures] == jobs
    assert {picture.pixels.shape for picture in pictures} == {(SIZE.height, SIZE.width, 3)}
    assert all(picture.pixels.dtype == np.uint8 and picture.pixels.std() > 1 for picture in pictures)


def test_the_same_shot_gives_the_same_pixels_and_another_seed_gives_others(engine, subject):
    (job,) = jobs_for(subject, 1)
    other = replace(job, shot=replace(job.shot, seed=job.shot.seed + 1))

    first, again, different = (render(engine, [each])[0] for each in (job, job, other))

    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - different).max() > 5


def test_two_people_share_a_batch_without_touching_each_other(engine, subject):
    pixels = photos.astronaut()
    other = engine.prepare([source_photo(pixels[:, ::-1] // 2, Box(232, 60, 342, 190))], SIZE)
    (job,) = jobs_for(subject, 1)
    other_job = replace(job, subject=other)

    together = render(engine, [job, other_job])
    alone = render(engine, [job]) + render(engine, [other_job])

    for one, two in zip(together, alone, strict=True):
        assert np.abs(one.astype(int) - two).max() <= 1
    assert np.abs(together[0].astype(int) - together[1]).max() > 5


def test_faces_have_the_persons_proportions_unless_the_template_is_chosen(engine, config, finder, monkeypatch):
    pixels = photos.astronaut()
    photo = SourcePhoto(pixels, finder.find(pixels)[0])
    person = engine.prepare([photo], SIZE)
    monkeypatch.setattr(engine, "config", replace(config, proportions=Proportions.TEMPLATE))
    template = engine.prepare([photo], SIZE)

    np.testing.assert_array_equal(person.head, measure_head([photo.face.mesh]))
    np.testing.assert_array_equal(template.head, TEMPLATE_HEAD)
    (job,) = jobs_for(person, 1)
    images = [engine._conditions(each, Size(448, 560)).keypoint_image for each in (job, replace(job, subject=template))]
    assert (images[0] != images[1]).any()


def test_larger_pictures_go_through_the_upscaler(engine, subject):
    size = Size(4 * SIZE.width, 4 * SIZE.height)

    (picture,) = render(engine, jobs_for(subject, 1), size)

    assert picture.shape == (size.height, size.width, 3)


def test_without_an_upscaler_a_large_picture_is_refused(config, fresh_engine, subject):
    fresh_engine._upscaler = None

    with pytest.raises(EngineUnavailable, match="upscaler"):
        render(fresh_engine, jobs_for(subject, 1), Size(4 * SIZE.width, 4 * SIZE.height))


def test_black_and_white_is_gray_and_color_is_not(engine, subject):
    styles = [style for style in load_styles() if style.monochrome or style.name == "corporate"]

    pictures = list(engine.render([Job(subject, shot) for shot in plan_shots(styles, 2, 1)], SIZE, lambda share: None))

    spread = {p.job.shot.style.name: int(np.ptp(p.pixels.astype(int), axis=2).max()) for p in pictures}
    assert spread["bw"] == 0 < spread["corporate"]


def test_progress_rises_with_every_step_to_one(engine, subject):
    heard: list[float] = []

    list(engine.render(jobs_for(subject, 6), SIZE, heard.append))

    assert heard == sorted(heard)
    assert heard[-1] == 1
    assert len(heard) == 2 * engine.config.sampling.steps + 6


def test_a_picture_is_handed_over_before_the_next_one_of_its_batch_is_decoded(fresh_engine, subject):
    decoded = []
    fresh_engine.networks.vae.decoder.register_forward_pre_hook(lambda *_: decoded.append(1))

    pictures = fresh_engine.render(jobs_for(subject, 3), SIZE, lambda share: None)
    next(pictures)

    assert len(decoded) == 1
    assert len(list(pictures)) == 2


def test_a_callback_that_cancels_ends_the_work_within_a_step(engine, subject):
    passes = 0

    def count(*_):
        nonlocal passes
        passes += 1

    def cancel(share: float) -> None:
        raise Canceled

    hook = engine.networks.unet.register_forward_pre_hook(count)
    try:
        with pytest.raises(Canceled):
            list(engine.render(jobs_for(subject), SIZE, cancel))
    finally:
        hook.remove()

    assert passes == 1


def test_running_out_of_memory_halves_the_batch_and_loses_nothing(engine, fresh_engine, subject):
    jobs = jobs_for(subject, 4)

    def too_much(module, arguments):
        if len(arguments[0]) > 2:
            raise torch.OutOfMemoryError("out of memory")

    fresh_engine.networks.unet.register_forward_pre_hook(too_much)
    frugal = render(fresh_engine, jobs)

    assert fresh_engine.capacity(SIZE) == 1
    for one, other in zip(frugal, render(engine, jobs), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_running_out_of_memory_after_some_pictures_of_a_batch_keeps_them(fresh_engine, subject):
    jobs, decoded = jobs_for(subject, 4), []

    def too_much(module, arguments):
        decoded.append(1)
        if len(decoded) == 3:
            raise torch.OutOfMemoryError("out of memory")

    fresh_engine.networks.vae.decoder.register_forward_pre_hook(too_much)
    pictures = list(fresh_engine.render(jobs, SIZE, lambda share: None))

    assert [picture.job for picture in pictures] == jobs
    assert len(decoded) == 5
    assert fresh_engine.capacity(SIZE) == 2


def test_when_not_one_picture_fits_the_engine_says_so(fresh_engine, subject):
    def too_much(module, arguments):
        raise torch.OutOfMemoryError("out of memory")

    fresh_engine.networks.unet.register_forward_pre_hook(too_much)

    with pytest.raises(EngineUnavailable, match="not enough memory for one picture"):
        render(fresh_engine, jobs_for(subject, 4))


def test_a_lost_device_is_no_ordinary_error(fresh_engine, subject):
    def lose(module, arguments):
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    fresh_engine.networks.unet.register_forward_pre_hook(lose)

    with pytest.raises(DeviceLost, match="unspecified launch failure"):
        render(fresh_engine, jobs_for(subject, 1))


def test_running_out_of_memory_is_no_lost_device():
    with pytest.raises(torch.OutOfMemoryError), device_errors():
        raise torch.OutOfMemoryError("out of memory")


def test_networks_that_do_not_fit_are_no_reason_to_try_smaller_batches():
    with pytest.raises(EngineUnavailable, match="nvidia-smi"), loading():
        raise torch.OutOfMemoryError("out of memory")


def test_a_face_that_the_detector_does_not_see_is_not_found(engine):
    elsewhere = source_photo(photos.astronaut(), Box(0, 0, 4, 400))

    with pytest.raises(FaceNotFound):
        engine.prepare([elsewhere], SIZE)


def test_several_photos_make_one_subject_unlike_that_of_each(engine, subject):
    pixels = photos.astronaut()
    darker = source_photo((pixels * 0.6).astype(np.uint8), ASTRONAUT_FACE)

    both = engine.prepare([source_photo(pixels, ASTRONAUT_FACE), darker], SIZE)

    assert both.tokens.shape == subject.tokens.shape
    assert not torch.equal(both.tokens, subject.tokens)


def test_loading_reports_progress_to_one(config):
    heard: list[float] = []

    InstantIDEngine(config, heard.append)

    assert heard == sorted(heard)
    assert heard[-1] == 1


def start_compiled(config, monkeypatch, compile_network, heard=None, fault=None) -> InstantIDEngine:
    """An engine with the optimization `compile`, torch's compiler exchanged, its sizes small enough for a test."""
    monkeypatch.setattr(torch.nn.Module, "compile", compile_network)
    monkeypatch.setattr(
        engine_module, "compiler_fault", lambda optimizations: fault if Optimization.COMPILE in optimizations else None
    )
    monkeypatch.setattr(engine_module, "PREVIEW", SIZE)
    monkeypatch.setattr(engine_module, "PREMIUM", LARGE)
    optimizations = default_optimizations("cpu") | {Optimization.COMPILE}
    return InstantIDEngine(replace(config, max_batch=3, optimizations=optimizations), heard or (lambda share: None))


def make_packs(engine) -> None:
    """One of each size: a full batch of three, and one picture more."""
    person = engine.prepare([source_photo(photos.astronaut(), ASTRONAUT_FACE)], SIZE)
    for size in (SIZE, LARGE):
        assert len(render(engine, jobs_for(person, 4), size)) == 4


def test_packs_come_in_no_shape_that_was_not_compiled_at_the_start(config, monkeypatch):
    shapes: set[tuple[object, ...]] = set()
    heard: list[float] = []

    def note_shapes(network, **named) -> None:
        network.register_forward_pre_hook(lambda _, given: shapes.add((type(network), given[0].shape)))

    engine = start_compiled(config, monkeypatch, note_shapes, heard.append)
    at_start = set(shapes)
    make_packs(engine)

    assert {kind.__name__ for kind, _ in at_start} == {"UNet2DConditionModel", "ControlNetModel", "Decoder", "RRDBNet"}
    assert {shape[0] for kind, shape in at_start if kind is type(engine.networks.unet)} == {2, 6}
    assert shapes == at_start
    assert heard == sorted(heard)
    assert heard[-1] == 1
    assert len([share for share in heard if 0.2 < share < 1]) >= 6


def test_where_torch_cannot_compile_the_engine_goes_on_uncompiled_with_a_warning(config, monkeypatch, caplog):
    def fail(network, **named) -> None:
        def complain(*_, **__):
            raise torch._dynamo.exc.TorchDynamoException("no compiler found\nand a long story")

        network._compiled_call_impl = complain

    engine = start_compiled(config, monkeypatch, fail)

    (warning,) = caplog.messages
    assert warning == "The networks are not compiled, because torch cannot compile them here (no compiler found)."
    person = engine.prepare([source_photo(photos.astronaut(), ASTRONAUT_FACE)], SIZE)
    assert len(render(engine, jobs_for(person, 1))) == 1


def test_without_a_compiler_nothing_is_compiled_and_a_warning_says_so(config, monkeypatch, caplog):
    fault = "The networks are not compiled, because this machine lacks a C compiler."
    compiled = []

    engine = start_compiled(config, monkeypatch, lambda network, **named: compiled.append(network), fault=fault)

    assert caplog.messages == [fault]
    assert compiled == []
    assert engine.optimizations == default_optimizations("cpu")


def test_what_is_to_be_compiled_is_compiled_at_the_start_and_never_for_a_pack(config, monkeypatch):
    # Everything of torch.compile but the generation of code, which takes minutes on a CPU.
    whole = torch.nn.Module.compile

    engine = start_compiled(config, monkeypatch, lambda network, **named: whole(network, backend="eager", **named))
    at_start = graphs_compiled()
    make_packs(engine)
    after_packs = graphs_compiled()
    engine._upscaler.enlarge(torch.zeros(3, 16, 16))

    assert 0 < at_start == after_packs < graphs_compiled()


def graphs_compiled() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_without_cuda_the_engine_refuses_to_start_unless_the_cpu_is_asked_for(config):
    with pytest.raises(EngineUnavailable, match="NVIDIA"):
        InstantIDEngine(replace(config, device="cuda"))


def test_a_missing_file_is_named(config, tmp_path):
    with pytest.raises(WeightsError, match="scrfd"):
        InstantIDEngine(replace(config, weights=replace(config.weights, faces=tmp_path)))
    with pytest.raises(WeightsError, match="ip-adapter"):
        InstantIDEngine(replace(config, weights=replace(config.weights, adapter=tmp_path / "ip-adapter.safetensors")))
    with pytest.raises(WeightsError, match=r"config\.json"):
        InstantIDEngine(replace(config, weights=replace(config.weights, controlnet=tmp_path)))


def test_missing_files_can_be_listed_without_loading_anything(config, tmp_path):
    assert config.weights.missing() == ()
    gone = replace(config.weights, adapter=tmp_path / "ip-adapter.safetensors", vae=tmp_path / "vae")

    assert [sentence.split("(")[1] for sentence in gone.missing()] == ["adapter) is missing.", "vae) is missing."]


def copy_network(source, target, change):
    """A copy of a network's folder whose tensors went through `change`."""
    target.mkdir()
    (target / "config.json").write_bytes((source / "config.json").read_bytes())
    tensors = load_file(source / "diffusion_pytorch_model.safetensors")
    save_file(change(tensors), target / "diffusion_pytorch_model.safetensors")
    return target


def test_a_truncated_network_is_refused(config, tmp_path):
    broken = copy_network(config.weights.controlnet, tmp_path / "controlnet", dict)
    file = broken / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])

    with pytest.raises(WeightsError, match="controlnet"):
        InstantIDEngine(replace(config, weights=replace(config.weights, controlnet=broken)))


def test_a_network_with_a_gap_is_refused_instead_of_filled_with_chance(config, tmp_path):
    def drop(tensors):
        return {name: tensor for name, tensor in tensors.items() if name != "conv_in.weight"}

    broken = copy_network(config.weights.controlnet, tmp_path / "controlnet", drop)

    with pytest.raises(WeightsError, match=r"conv_in\.weight"):
        InstantIDEngine(replace(config, weights=replace(config.weights, controlnet=broken)))


def test_a_network_of_another_shape_is_refused(config, tmp_path):
    def widen(tensors):
        return tensors | {"conv_in.weight": tensors["conv_in.weight"].repeat(2, 1, 1, 1)}

    broken = copy_network(config.weights.controlnet, tmp_path / "controlnet", widen)

    with pytest.raises(WeightsError, match="controlnet"):
        InstantIDEngine(replace(config, weights=replace(config.weights, controlnet=broken)))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ip_adapter.1.to_k_ip.weight", lambda tensor: None),
        ("ip_adapter.1.to_v_ip.weight", lambda tensor: tensor.repeat(1, 2)),
        ("image_proj.proj_in.weight", lambda tensor: tensor[:, :128].contiguous()),
        ("image_proj.latents", lambda tensor: None),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(config, tmp_path, name, change):
    tensors = load_file(config.weights.adapter)
    name = name if name in tensors else next(key for key in sorted(tensors) if key.endswith(name.split(".", 2)[2]))
    changed = change(tensors.pop(name))
    save_file(tensors if changed is None else tensors | {name: changed}, tmp_path / "adapter.safetensors")

    with pytest.raises(WeightsError, match="adapter"):
        InstantIDEngine(replace(config, weights=replace(config.weights, adapter=tmp_path / "adapter.safetensors")))


def test_a_truncated_adapter_pickle_is_not_converted(tmp_path):
    whole = (GOLDEN / "instantid" / "ip-adapter.bin").read_bytes()
    (tmp_path / "ip-adapter.bin").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(WeightsError, match="cannot be read"):
        convert_adapter(tmp_path / "ip-adapter.bin", tmp_path / "ip-adapter.safetensors")

    assert not (tmp_path / "ip-adapter.safetensors").exists()


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"image_proj": {}, "ip_adapter": Evil()}, tmp_path / "ip-adapter.bin")

    with pytest.raises(WeightsError, match="cannot be read"):
        convert_adapter(tmp_path / "ip-adapter.bin", tmp_path / "ip-adapter.safetensors")

    assert not (tmp_path / "ran").exists()
