"""docker/compose.yml passes every setting of docker/.env to the product, and the example of that file is valid."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.configuration import read_variables

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = (ROOT / "docker" / ".env.example").read_text()
PRODUCT = {"web", "render", "default", "retention", "beat", "migrate"}


def compose() -> dict[str, Any]:
    content: dict[str, Any] = pytest.importorskip("yaml").safe_load((ROOT / "docker" / "compose.yml").read_text())
    return content


def example() -> dict[str, str]:
    """Return the variables of the example, those that are commented out included."""
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE, re.MULTILINE))


def test_every_container_of_the_product_gets_the_file() -> None:
    services = compose()["services"]

    assert {name for name, service in services.items() if "env_file" in service} == PRODUCT
    assert {services[name]["env_file"] for name in PRODUCT} == {".env"}
    # What a service sets itself would hide the common variables.
    assert len({str(services[name]["environment"]) for name in PRODUCT}) == 1


def test_what_compose_reads_is_in_the_example() -> None:
    read = set(re.findall(r"\$\{([A-Z_]+):", (ROOT / "docker" / "compose.yml").read_text()))

    assert len(read) > 3
    assert read <= set(example())


def test_the_example_passes_the_system_checks(tmp_path: Path) -> None:
    folders = ("HEADSHOTS_DATA_DIR", "HEADSHOTS_HEADSHOT_KEYS_DIR", "HEADSHOTS_PHOTO_KEYS_DIR")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADSHOTS_")}
    environment |= example() | {name: str(tmp_path / name) for name in folders}
    environment |= {"HEADSHOTS_SECRET_KEY": "x" * 50, "HEADSHOTS_REDIS_URL": "redis://broker:6379/0"}

    command = [sys.executable, "manage.py", "check"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr


def test_commented_lines_of_the_example_show_the_defaults() -> None:
    commented = dict(re.findall(r"^#(HEADSHOTS_[A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    # Its default depends on another variable.
    assert commented.pop("HEADSHOTS_SITE_URL")

    def as_text(value: object) -> str:
        return ",".join(map(str, value)) if isinstance(value, list) else str(int(value) if value is False else value)

    variables = read_variables()
    assert len(commented) > 5
    assert commented == {name: as_text(variables[name].default) for name in commented}
