"""Pages, emails, messages, documents and docstrings use the project's English (CONTRIBUTING.md)."""

from pathlib import Path

import pytest

from tests.architecture import english


@pytest.fixture(scope="module")
def found() -> list[english.Finding]:
    """Every forbidden form in the product and its documents."""
    paths = english.default_paths()
    assert len(paths) > 400
    return list(english.findings(english.texts(paths)))


def test_forbidden_forms_do_not_occur(found: list[english.Finding]) -> None:
    left = [str(finding) for finding in found if not english.is_allowed(finding)]

    assert left == []


def test_every_exception_is_needed(found: list[english.Finding]) -> None:
    unused = [allowed for allowed in english.ALLOWED if not any(english.matches(finding, allowed) for finding in found)]

    assert unused == []


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("a.html", '<p class="beside">Whoever {# beside #}pays {{ anew }}</p>', ["Whoever"]),
        ("a.html", '<img alt="A photo beside another">', ["beside"]),
        ("a.py", 'NAME = "beside"\nMESSAGE = "It is beside the door"', ["beside"]),
        ("a.py", '"""Whether it is.\n\nWhether is fine here, nobody is not."""', ["Whether", "nobody"]),
        ("a.py", "# The key is\n# made anew.\nX = 1", ["anew"]),
        ("a.py", 'f"{x} rows by nobody else"', ["nobody"]),
        ("a.py", 'X = "SELECT nobody from rows"', []),
        ("a.md", "Use `nobody`.\n\n```\nnobody\n```\n", []),
        ("a.md", "| a | 97 % |\n", ["7 %"]),
        ("a.js", 'const x = "no photo of nobody";', ["nobody"]),
        ("a.yml", "# Beside the web process\nx: 1\n", ["Beside"]),
        ("a.md", "A " + "word " * 40 + ".\n", ["A word"]),
    ],
)
def test_forms_are_found_in_prose_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str, expected: list[str]
) -> None:
    monkeypatch.setattr(english, "ROOT", tmp_path)
    file = tmp_path / name
    file.write_text(source)

    found = [finding.found for finding in english.findings(english.texts([file]))]

    assert len(found) >= len(expected)
    assert all(any(form in each for each in found) for form in expected)
    assert bool(found) == bool(expected)
