"""The engine's numbers are the published reference implementation's.

The cases hold what InstantID's own code computed with tiny random networks. INSTANTID_PARITY_DIR names another
folder of the same form.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.torch_needed import require_torch

require_torch()

import torch

from pipeline.bench.table import BUILT_IN
from pipeline.diffusion.optimizations import LOSSLESS, Optimization
from pipeline.engines.instantid.conditions import Conditions, face_tokens, make_noise
from pipeline.engines.instantid.config import Sampler, Sampling, WeightFiles
from pipeline.engines.instantid.denoise import decode, denoise
from pipeline.engines.instantid.networks.bundle import Networks
from pipeline.engines.instantid.networks.load import load_networks
from pipeline.engines.instantid.networks.text_encoders import PromptEncoder
from pipeline.engines.instantid.poses import draw_keypoints
from pipeline.types import Size
from pipeline.weights.convert import convert_adapter

CASES_DIR = Path(os.environ.get("INSTANTID_PARITY_DIR") or Path(__file__).parents[3] / "golden" / "instantid")
CASES = json.loads((CASES_DIR / "cases.json").read_text("utf-8"))
NAMES = [case["name"] for case in CASES]

PICTURE_TOLERANCE, LATENTS_TOLERANCE, TOKENS_TOLERANCE = 2e-6, 2e-4, 1e-5
# Minutes on a CPU, or a GPU's alone.
COSTLY = frozenset({Optimization.COMPILE, Optimization.CUDA_GRAPHS, Optimization.CUDNN_SEARCH})
CHEAP = LOSSLESS - COSTLY


@dataclass(frozen=True)
class Case:
    """One case: what went in, and what the reference made of it."""

    name: str
    conditions: Conditions
    sampling: Sampling
    expected: Mapping[str, np.ndarray]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> WeightFiles:
    adapter = tmp_path_factory.mktemp("adapter") / "ip-adapter.safetensors"
    convert_adapter(CASES_DIR / "instantid" / "ip-adapter.bin", adapter)
    return WeightFiles(
        base=CASES_DIR / "base",
        controlnet=CASES_DIR / "instantid" / "ControlNetModel",
        adapter=adapter,
        faces=CASES_DIR,
    )


@pytest.fixture(scope="module")
def load(files):
    """Load the networks with these optimizations, once for each set of those that change the networks."""
    loaded: dict[frozenset[Optimization], Networks] = {}

    def _load(optimizations: frozenset[Optimization]) -> Networks:
        built_in = optimizations & BUILT_IN
        if built_in not in loaded:
            loaded[built_in] = load_networks(files, "cpu", torch.float32, optimizations)
        return loaded[built_in]

    return _load


def read_case(networks: Networks, name: str) -> Case:
    case = CASES[NAMES.index(name)]
    with np.load(CASES_DIR / "expected.npz") as archive:
        expected = {key.partition("/")[2]: archive[key] for key in archive.files if key.startswith(f"{name}/")}
    prompt, negative = PromptEncoder(networks).encode([case["prompt"], case["negative_prompt"]])
    conditions = Conditions(
        prompt=prompt,
        negative=negative,
        face_tokens=face_tokens(networks, expected["face_embedding"]),
        keypoint_image=draw_keypoints(np.array(case["kps"], float), Size(*case["size"])),
        noise=torch.from_numpy(expected["initial_noise"])[0],
        guidance_scale=case["guidance_scale"],
        control_scale=case["controlnet_scale"],
        adapter_scale=case["ip_adapter_scale"],
        control_end=case.get("control_guidance_end", 1.0),
    )
    sampling = Sampling(case["steps"], Sampler(case.get("scheduler", "euler")))
    return Case(name, conditions, sampling, expected)


def assert_equals_reference(networks: Networks, cases: list[Case], optimizations: frozenset[Optimization]) -> None:
    """Renders the cases in one batch and compares latents and pictures."""
    latents = denoise(
        networks, [case.conditions for case in cases], cases[0].sampling, optimizations, lambda share: None
    )
    pictures = decode(networks, latents).permute(0, 2, 3, 1)
    for case, latent, picture in zip(cases, latents.numpy(), pictures.numpy(), strict=True):
        latents_off = float(np.abs(latent - case.expected["latents"]).max())
        picture_off = float(np.abs(picture - case.expected["image"]).max())
        assert latents_off <= LATENTS_TOLERANCE, case.name
        assert picture_off <= PICTURE_TOLERANCE, case.name


def batches() -> list[list[str]]:
    """Group the names of the cases that agree in size, scheduler and step count."""
    groups: dict[str, list[str]] = {}
    for case in CASES:
        groups.setdefault(repr((case["size"], case.get("scheduler"), case["steps"])), []).append(case["name"])
    return list(groups.values())


def mixable() -> list[list[str]]:
    """Return the groups of at least two cases."""
    return [names for names in batches() if len(names) > 1]


@pytest.mark.parametrize("name", NAMES)
def test_face_tokens_equal_the_reference(load, name):
    case = read_case(load(CHEAP), name)

    np.testing.assert_allclose(case.conditions.face_tokens.numpy(), case.expected["face_tokens"], atol=TOKENS_TOLERANCE)


@pytest.mark.parametrize("name", NAMES)
def test_the_keypoint_image_equals_the_reference(load, name):
    case = read_case(load(CHEAP), name)

    np.testing.assert_array_equal(case.conditions.keypoint_image, case.expected["keypoint_image"])


@pytest.mark.parametrize("optimizations", [CHEAP, frozenset()], ids=["with lossless optimizations", "plain"])
@pytest.mark.parametrize("name", NAMES)
def test_latents_and_picture_equal_the_reference(load, name, optimizations):
    networks = load(optimizations)

    assert_equals_reference(networks, [read_case(networks, name)], optimizations)


@pytest.mark.parametrize("optimization", sorted(CHEAP))
@pytest.mark.parametrize("names", batches(), ids="+".join)
def test_each_lossless_optimization_alone_equals_the_reference(load, names, optimization):
    networks = load(frozenset({optimization}))

    assert_equals_reference(networks, [read_case(networks, name) for name in names], frozenset({optimization}))


@pytest.mark.parametrize("optimizations", [CHEAP, frozenset()], ids=["with lossless optimizations", "plain"])
@pytest.mark.parametrize("names", mixable(), ids="+".join)
def test_a_mixed_batch_equals_the_reference(load, names, optimizations):
    networks = load(optimizations)

    assert_equals_reference(networks, [read_case(networks, name) for name in names], optimizations)


def test_compiled_networks_equal_the_reference(files):
    optimizations = CHEAP | {Optimization.COMPILE}
    networks = load_networks(files, "cpu", torch.float32, optimizations)

    assert_equals_reference(networks, [read_case(networks, NAMES[0])], optimizations)


def render(
    networks: Networks,
    *conditions: Conditions,
    sampling: Sampling,
    optimizations: frozenset[Optimization] = CHEAP,
) -> np.ndarray:
    latents = denoise(networks, conditions, sampling, optimizations, lambda share: None)
    return decode(networks, latents).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_wrong_wiring_changes_the_picture(load, name):
    networks = load(CHEAP)
    case = read_case(networks, name)
    right = case.conditions
    wrong = {
        "adapter scale 0": replace(right, adapter_scale=0.0),
        "control scale 0": replace(right, control_scale=0.0),
        "another face": replace(right, face_tokens=face_tokens(networks, -case.expected["face_embedding"])),
        "another pose": replace(right, keypoint_image=np.roll(right.keypoint_image, 9, axis=(0, 1))),
    }

    # In one batch: that pictures do not depend on their batch mates is shown below.
    pictures = render(networks, *wrong.values(), sampling=case.sampling)

    for fault, picture in zip(wrong, pictures, strict=True):
        assert np.abs(picture.transpose(1, 2, 0) - case.expected["image"]).max() > 100 * PICTURE_TOLERANCE, fault


def test_a_picture_does_not_depend_on_its_batch_mates(load):
    networks = load(CHEAP)
    case = read_case(networks, NAMES[0])
    size = Size(case.conditions.keypoint_image.shape[1], case.conditions.keypoint_image.shape[0])
    mates = [
        replace(
            case.conditions,
            prompt=case.conditions.negative,
            face_tokens=face_tokens(networks, seed * case.expected["face_embedding"]),
            keypoint_image=np.roll(case.conditions.keypoint_image, seed, axis=0),
            noise=make_noise(networks, seed, size),
            guidance_scale=1.0 + seed,
            control_scale=0.3 * seed,
            adapter_scale=0.2 * seed,
            control_end=0.25 * seed,
        )
        for seed in (2, 3)
    ]

    # Of four steps, some lie before and some behind the end of each mate's control.
    sampling = replace(case.sampling, steps=4)
    alone = render(networks, case.conditions, sampling=sampling)
    among = render(networks, mates[0], case.conditions, mates[1], sampling=sampling)
    first = render(networks, mates[0], sampling=sampling)

    np.testing.assert_allclose(among[1], alone[0], atol=PICTURE_TOLERANCE)
    np.testing.assert_allclose(among[0], first[0], atol=PICTURE_TOLERANCE)
    assert np.abs(among[0] - among[1]).max() > 0.01


def test_guidance_of_one_without_the_unconditional_half_is_the_same_picture(load):
    networks = load(CHEAP)
    case = read_case(networks, NAMES[0])
    unguided = replace(case.conditions, guidance_scale=1.0)

    short = denoise(networks, [unguided], case.sampling, CHEAP, lambda share: None)
    long = denoise(networks, [unguided], case.sampling, CHEAP - {Optimization.SKIP_IDLE}, lambda share: None)

    np.testing.assert_allclose(short.numpy(), long.numpy(), atol=LATENTS_TOLERANCE)


@pytest.mark.parametrize(
    "optimization", [Optimization.GUIDANCE_CUTOFF, Optimization.CONTROL_CUTOFF, Optimization.FP8, Optimization.INT8]
)
def test_a_lossy_optimization_changes_the_picture_and_keeps_it_finite(load, optimization):
    networks = load(CHEAP | {optimization})
    case = read_case(networks, NAMES[0])

    latents = denoise(networks, [case.conditions], case.sampling, CHEAP | {optimization}, lambda share: None).numpy()

    assert np.isfinite(latents).all()
    assert np.abs(latents - case.expected["latents"]).max() > LATENTS_TOLERANCE


# Tiny random networks forgive less than trained ones; what is told apart here is rounding from wrong wiring.
ROUNDING_SHARE = 0.5
DTYPES = [torch.float16, torch.bfloat16]
SETS = {"fp8": CHEAP | {Optimization.FP8}, "int8": CHEAP | {Optimization.INT8}, "plain": frozenset[Optimization]()}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("optimizations", [CHEAP, *SETS.values()], ids=["lossless", *SETS])
def test_half_precision_fits_together_and_stays_near_the_reference(files, dtype, optimizations):
    networks = load_networks(files, "cpu", dtype, optimizations)
    case = read_case(networks, NAMES[0])

    picture = render(networks, case.conditions, sampling=case.sampling, optimizations=optimizations)[0]

    expected = case.expected["image"]
    assert np.abs(picture.transpose(1, 2, 0) - expected).mean() < ROUNDING_SHARE * expected.std()


@pytest.mark.parametrize("optimizations", SETS.values(), ids=SETS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_step_in_half_precision_stays_near_the_same_step_in_full_precision(files, load, dtype, optimizations):
    one_step = Sampling(1)
    whole = load(CHEAP)
    expected = render(whole, read_case(whole, NAMES[0]).conditions, sampling=one_step)
    networks = load_networks(files, "cpu", dtype, optimizations)

    conditions = read_case(networks, NAMES[0]).conditions
    picture = render(networks, conditions, sampling=one_step, optimizations=optimizations)

    assert np.abs(picture - expected).mean() < ROUNDING_SHARE * expected.std()


def test_networks_that_visit_the_device_one_at_a_time_make_the_same_picture(files, monkeypatch):
    visits, on_device = [], Networks.on_device
    monkeypatch.setattr(
        Networks, "on_device", lambda networks, *modules: visits.append(modules) or on_device(networks, *modules)
    )
    networks = load_networks(files, "cpu", torch.float32, CHEAP, offload=True)

    assert_equals_reference(networks, [read_case(networks, NAMES[0])], CHEAP)
    assert [module for (module,) in visits] == [*networks.text_encoders, networks.vae]
