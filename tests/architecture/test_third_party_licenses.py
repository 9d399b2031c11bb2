"""docs/third-party-licenses.md names every model and every direct dependency."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "third-party-licenses.md"


def rows() -> dict[str, list[str]]:
    """The cells of each row, by the name in its first cell."""
    lines = [line.strip("|").split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells] for cells in lines}


def test_each_model_is_listed_with_its_license() -> None:
    weights = tomllib.loads((ROOT / "pipeline/weights/weights.toml").read_text())["weights"]
    listed = rows()

    for name, weight in weights.items():
        assert name in listed, f"{DOCUMENT} lacks the model {name}"
        _, source, _, license_name, commercial_use, _ = listed[name]
        assert (source, license_name) == (weight["source"], weight["license"]), name
        assert commercial_use == ("yes" if weight.get("business", True) else "**no**"), name


def test_each_direct_dependency_is_listed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]

    names = {re.split(r"[\[~=!<>; ]", each)[0] for each in wanted}

    assert len(names) > 40
    assert names - rows().keys() == set()
