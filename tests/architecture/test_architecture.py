"""What the house plan promises about who may load what."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["torch", "cv2", "dlib", "ai_edge_litert", "diffusers", "insightface", "onnxruntime", "scipy"]

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
def test_the_pipelines_doors_load_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(','.join(sorted(sys.modules)))"

    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.strip().split(","))
    assert loaded.isdisjoint([*HEAVY, "django", "celery", "headshots"])


def test_the_rooms_keep_to_the_import_contracts() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert f"Contracts: {len(contracts)} kept, 0 broken." in result.stdout, result.stdout


def test_only_the_settings_read_the_environment() -> None:
    # headshots/launch runs before there are settings: it hands the shell's environment on to what it starts.
    readers = [
        str(file.relative_to(ROOT))
        for room in ("headshots", "pipeline")
        for file in (ROOT / room).rglob("*.py")
        if file.parent.name != "launch"
        if any(word in file.read_text() for word in ("os.environ.get", "os.environ[", "os.getenv", "environ.Env"))
    ]

    assert readers == ["headshots/settings.py"]


def test_files_fit_the_house() -> None:
    too_long = {
        str(file.relative_to(ROOT)): lines
        for room in ("headshots", "pipeline", "run.py")
        for file in ([ROOT / room] if room.endswith(".py") else (ROOT / room).rglob("*.py"))
        if "migrations" not in file.parts and (lines := len(file.read_text().splitlines())) > 400
    }

    assert too_long == {}
