"""The layout of the code: who may load what, how large files and folders may be, where tests are."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

import run
from pipeline.engines import ENGINE_CHOICES, EngineName

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["headshots", "pipeline"]
HEAVY = ["torch", "cv2", "dlib", "ai_edge_litert", "diffusers", "insightface", "onnxruntime", "MNN", "scipy"]

# Imports what uvicorn imports, asks for the pages so that everything lazy has happened, then tells what is loaded.
LOAD_WEB = """
import asyncio, sys
from headshots.asgi import application
from django.test import AsyncClient

async def look():
    for path in ["/", "/shoots/new/", "/retention/", "/accounts/signup/", "/healthz"]:
        await AsyncClient().get(path)

asyncio.run(look())
print(",".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_the_web_process_loads_no_model_and_no_picture_library() -> None:
    result = subprocess.run([sys.executable, "-c", LOAD_WEB], cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.strip().splitlines()[-1].split(","))
    assert {"headshots", "pipeline", "django"} <= loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "module", ["pipeline.types", "pipeline.engines", "pipeline.photos.intake", "pipeline.__main__"]
)
def test_the_entry_points_of_the_pipeline_load_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(','.join(sorted(sys.modules)))"

    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.strip().split(","))
    assert loaded.isdisjoint([*HEAVY, "django", "celery", "headshots"])


def test_the_import_contracts_are_kept() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert f"Contracts: {len(contracts)} kept, 0 broken." in result.stdout, result.stdout


def test_every_engine_is_in_the_contract_that_keeps_engines_apart() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    independent = next(each["modules"] for each in contracts if each["name"] == "An engine knows no other engine")

    assert set(independent) == {f"pipeline.engines.{name}" for name in get_args(EngineName) if name != "auto"}


def test_run_py_offers_the_engines_that_the_pipeline_offers() -> None:
    assert run.ENGINES == ENGINE_CHOICES


def test_only_the_settings_read_the_environment() -> None:
    # headshots/launch runs before there are settings: it hands the shell's environment on to what it starts.
    readers = [
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        if file.parent.name != "launch"
        if any(word in file.read_text() for word in ("os.environ.get", "os.environ[", "os.getenv", "environ.Env"))
    ]

    assert readers == ["headshots/settings.py"]


def test_no_file_is_longer_than_400_lines() -> None:
    files = [ROOT / "run.py", *(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))]

    too_long = {
        str(file.relative_to(ROOT)): lines
        for file in files
        if "migrations" not in file.parts and (lines := len(file.read_text().splitlines())) > 400
    }

    assert too_long == {}


def test_no_folder_has_more_than_16_modules() -> None:
    folders = [folder for package in PACKAGES for folder in (ROOT / package).rglob("*") if folder.is_dir()]

    crowded = {
        str(folder.relative_to(ROOT)): len(modules)
        for folder in folders
        if folder.name != "migrations" and len(modules := [*folder.glob("[!_]*.py")]) > 16
    }

    assert crowded == {}


def test_the_tests_mirror_the_tree() -> None:
    tests = [file for package in PACKAGES for file in (ROOT / "tests" / package).rglob("*.py")]

    astray = {
        str(file.parent.relative_to(ROOT))
        for file in tests
        if not (ROOT / file.parent.relative_to(ROOT / "tests")).is_dir()
    }

    assert len(tests) > 100
    assert astray == set()
