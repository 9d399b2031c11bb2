"""No private word for a known thing comes back: names that were replaced before the first release."""

import ast
import io
import re
import subprocess
import tokenize
from functools import cache
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from tests.architecture.old_names import OLD_NAMES

ROOT = Path(__file__).resolve().parents[2]
PLACES = ["headshots", "pipeline", "templates", "static", "docker", ".ci", "tests", "run.py", "pyproject.toml"]
SKIPPED = (
    "tests/golden/",
    "tests/architecture/english.py",
    "tests/architecture/old_names.py",
    "tests/architecture/test_names.py",
)
SUFFIXES = {".py", ".html", ".js", ".css", ".yml", ".yaml", ".toml", ""}
# Of a template only what is no text: tags, variables, attributes of elements.
TEMPLATE_CODE = re.compile(r"{%.*?%}|{{.*?}}|\s(?:class|id|name|href|action|data-[\w-]+)=\"[^\"]*\"", re.DOTALL)
COMMENT = re.compile(r"(?:^|\s)(?:#|//).*?$|/\*.*?\*/", re.DOTALL | re.MULTILINE)


def python_code(source: str) -> str:
    """Return Python source without its comments and docstrings, which are prose."""
    prose = {
        node.body[0].lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
    }
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_docstring = (
            token.type == tokenize.STRING and token.start[0] in prose and not token.line[: token.start[1]].strip()
        )
        if token.type == tokenize.COMMENT or is_docstring:
            (first, column), (last, end) = token.start, token.end
            rest = lines[last - 1][end:]
            lines[first - 1] = lines[first - 1][:column] + (rest if first == last else "\n")
            for number in range(first, last):
                lines[number] = rest if number == last - 1 else "\n"
    return "".join(lines)


@cache
def code_of(name: str) -> str:
    """Return the name of a file, and what of its text is no prose."""
    file = ROOT / name
    source = file.read_text()
    if file.suffix == ".py":
        source = python_code(source)
    elif file.suffix == ".html":
        source = "\n".join(TEMPLATE_CODE.findall(source))
    else:
        source = COMMENT.sub("", source)
    return f"{name}\n{source}"


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """The name and the whole text of each tracked file, prose included."""
    listed = subprocess.run(["git", "ls-files", *PLACES], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split() if not name.startswith(SKIPPED) and Path(name).suffix in SUFFIXES]
    return {name: f"{name}\n{(ROOT / name).read_text()}" for name in names if (ROOT / name).is_file()}


def test_code_is_told_apart_from_prose() -> None:
    source = (
        '"""A sitter."""\nimport lamps  # of a deed\n\n\ndef purse():\n    """Two\n    turns."""\n    return "heart"\n'
    )

    assert python_code(source) == '\nimport lamps  \n\n\ndef purse():\n    \n\n    return "heart"\n'


def words_of(expression: str) -> set[str]:
    """Return words of which every match of an expression has at least one. "" is in every text."""
    parsed = _parser.parse(expression)
    return {""} if parsed.state.flags & re.IGNORECASE else _words_of(list(parsed))


def _words_of(items: list[Any]) -> set[str]:
    """Return the choice of words whose shortest one is the longest."""
    choices: list[set[str]] = [{""}]
    letters: list[Any] = []  # Those directly before an item.
    for kind, value in [*items, (None, None)]:
        if kind is _constants.LITERAL:
            letters.append((kind, value))
            continue
        choices.append({"".join(chr(letter) for _, letter in letters)})
        if kind is _constants.BRANCH:
            choices.append(set.union(*(_words_of([*letters, *branch]) for branch in value[1])))
        elif kind is _constants.SUBPATTERN and not value[1] & re.IGNORECASE:
            choices.append(_words_of([*letters, *value[3]]))
        elif kind is _constants.MAX_REPEAT and value[0] > 0:
            choices.append(_words_of([*letters, *value[2]]))
        letters = []
    return max(choices, key=lambda words: min(map(len, words)))


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (r"\bLamp\b", {"Lamp"}),
        (r"\b[Dd]eeds?\b", {"eed"}),
        (r"\bpurse|\bputs", {"purse", "puts"}),
        (r"\b(beat|broker)_lamps?\b", {"_lamp"}),
        (r"\b(red|green)\b", {"red", "green"}),
        (r"(?<!Key)\bDestruction\b|x*", {""}),
        (r"(old){2}|(?=never)new_name", {"old", "new_name"}),
        (r"[a-z]*(?i:lamp)", {""}),
        (r"(?i)lamp", {""}),
    ],
)
def test_words_of_an_expression_are_in_each_of_its_matches(expression: str, words: set[str]) -> None:
    assert words_of(expression) == words


def test_old_names_are_gone(texts: dict[str, str]) -> None:
    all_texts = "\n".join(texts.values())
    left = []
    for old, new in OLD_NAMES.items():
        # Most words are in no file: looking for them first is many times as fast as trying every expression on it.
        words = [word for word in words_of(old) if word in all_texts]
        files = [file for file, text in texts.items() if any(word in text for word in words) and re.search(old, text)]
        # Few files are left, so few have to be parsed.
        matches = {file: match[0] for file in files if (match := re.search(old, code_of(file)))}
        left += [f"{file}: {match!r} is called {new} now" for file, match in matches.items()]

    assert len(texts) > 500
    assert not left, "\n".join(["", *left])
