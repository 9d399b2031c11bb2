"""The whole product with the InstantID engine at tiny size: the pictures are noise, everything else is real."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.torch_needed import require_torch

require_torch("insightface", "onnx", "onnxruntime", "huggingface_hub")

from PIL import Image
from playwright.sync_api import Page

from tests.browser.test_main_job import shown_headshots, sign_up, upload, wait_for
from tests.helpers import photos
from tests.helpers.product import Product
from tests.pipeline.engines.instantid.tiny_catalog import SETTINGS, TinyWeights, build_tiny_weights

TIMEOUT_SECONDS = 120
OPEN_GATE = "inf"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyWeights:
    tiny = build_tiny_weights(tmp_path_factory.mktemp("tiny"))
    tiny.install()
    return tiny


def settings(tiny: TinyWeights, **more: str) -> dict[str, str]:
    place = {"HEADSHOTS_WEIGHTS_DIR": str(tiny.directory), "HEADSHOTS_WEIGHTS_CATALOG": str(tiny.catalog)}
    return {**SETTINGS, **place, **more}


def packs(product: Product) -> list[tuple[object, ...]]:
    return product.query("SELECT state, reason FROM shoots_pack")


def test_with_an_open_gate_a_photo_becomes_delivered_pictures(
    start_product: Callable[..., Product], page: Page, tiny: TinyWeights
) -> None:
    asked = settings(tiny, HEADSHOTS_LIKENESS_MAX_DISTANCE=OPEN_GATE, HEADSHOTS_PREVIEW_COUNT="2")
    product = start_product("--engine", "instantid", "--yes", **asked)
    sign_up(page, product)

    upload(page, photos.astronaut_path())

    wait_for(page, lambda: shown_headshots(page) == 2, TIMEOUT_SECONDS, "two headshots")
    assert packs(product) == [("delivered", "")]
    assert product.query("SELECT DISTINCT engine FROM shoots_pack") == [("instantid",)]
    answer = page.request.get(product.url + (page.get_attribute('a[href$=".zip"]', "href") or ""))
    with zipfile.ZipFile(io.BytesIO(answer.body())) as archive:
        pictures = [name for name in archive.namelist() if name.endswith(".jpg")]
        sizes = {Image.open(io.BytesIO(archive.read(name))).size for name in pictures}
    assert len(sizes) == 1
    assert min(sizes.pop()) > 500


def test_with_the_real_gate_noise_is_nobody_and_the_pack_says_so(
    start_product: Callable[..., Product], page: Page, tiny: TinyWeights
) -> None:
    # No option: it was installed, so `auto` takes it. One picture of noise is nobody as well as four.
    product = start_product(**settings(tiny, HEADSHOTS_PREVIEW_COUNT="1"))
    sign_up(page, product)

    upload(page, photos.astronaut_path())

    wait_for(page, lambda: packs(product)[:1] == [("failed", "no_face")], TIMEOUT_SECONDS, "the pack to fail")
    assert product.query("SELECT count(*) FROM shoots_headshot WHERE state = 'done'") == [(0,)]
    assert list((product.data / "blobs").rglob("*")) != []


def test_a_worker_whose_engine_is_broken_does_not_start_and_says_why(
    start_product: Callable[..., Product], tiny: TinyWeights, tmp_path: Path, page: Page
) -> None:
    broken = tmp_path / "weights"
    broken.mkdir()
    for path in tiny.directory.rglob("*"):
        if path.is_file() and path.name != "glintr100.onnx":
            (broken / path.relative_to(tiny.directory)).parent.mkdir(parents=True, exist_ok=True)
            (broken / path.relative_to(tiny.directory)).symlink_to(path)
    product = start_product(**{**settings(tiny), "HEADSHOTS_WEIGHTS_DIR": str(broken)})
    log = product.data / "logs" / "render.log"

    wait_for(
        page, lambda: log.exists() and "this worker cannot start" in log.read_text(), 60, "the worker's last words"
    )

    assert "antelopev2 is missing" in log.read_text()
