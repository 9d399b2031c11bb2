"""Read the Markdown documents: their links, headings, paths, settings and commands."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|\b(?:src|href)=\"([^\"]+)\"|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE
)
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
SETTING = re.compile(r"\bHEADSHOTS_[A-Z0-9_]*")
# A name and at least one more segment. A part in braces or with an asterisk stands for several names.
PATH = re.compile(r"\.?[\w-][\w.-]*(?:/[\w.*{},-]+)+/?|[\w-]+\.(?:py|toml|md|yml)|LICENSE")
# The first words of commands in running text that are checked like those in blocks.
INLINE_COMMANDS = (
    "python3 run.py ", "run.py ", "python -m pipeline ", "manage.py ", "python manage.py ", "docker compose ",
    ".venv/bin/python ",
)  # fmt: skip
# Paths that the product or a person creates.
CREATED = re.compile(r"docker/\.env|(var|out|staticfiles|\.venv)/.*|docs/adr/NNNN\b.*")
SHELL_LANGUAGES = {"", "bash", "sh", "shell", "console"}


@dataclass(frozen=True)
class Place:
    """A piece of a document: its file, line and text. `block`: it is a line of a code block."""

    document: Path
    line: int
    text: str
    block: bool = False

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}: {self.text}"


def documents() -> list[Path]:
    """Return all documents, tracked or new."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    chosen = [name for name in listed if "/" not in name or name.startswith("docs/")]
    return [ROOT / name for name in chosen if (ROOT / name).is_file()]


@cache
def names_of_files() -> set[str]:
    """Return the names of all files in folders of the repository, tracked or new, without their folders."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "*/*"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {Path(name).name for name in listed if (ROOT / name).is_file()}


def links(document: Path) -> Iterator[Place]:
    """Yield the target of each link, picture and reference."""
    prose = _without_code(document.read_text())
    for match in LINK.finditer(prose):
        yield Place(document, _line(prose, match.start()), next(filter(None, match.groups())))


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document as GitHub makes them: of headings, and those written in HTML."""
    text = FENCE.sub("", document.read_text())
    found = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    for heading in HEADING.findall(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower().replace(" ", "-")
        slug = "".join(letter for letter in words if letter.isalnum() or letter in "-_")
        number = sum(each == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", each) is not None for each in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def paths(document: Path) -> Iterator[Place]:
    """Yield what is written in backticks and looks like a path in the repository."""
    tops = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in {".git", ".venv", "var"}}
    for place in inline_code(document):
        text = re.sub(r"(::[\w\[\]-]+|:\d+(-\d+)?)+$", "", place.text)
        if PATH.fullmatch(text) and ("/" not in text or text.split("/")[0] in tops):
            yield Place(document, place.line, text)


def inline_code(document: Path) -> Iterator[Place]:
    """Yield each piece of code in running text."""
    prose = FENCE.sub(_blank, document.read_text())
    for match in INLINE_CODE.finditer(prose):
        yield Place(document, _line(prose, match.start()), match[2].strip())


def settings(document: Path) -> Iterator[Place]:
    """Yield each HEADSHOTS_ name. A name that ends in an underscore is the start of several."""
    text = document.read_text()
    for match in SETTING.finditer(text):
        yield Place(document, _line(text, match.start()), match[0])


def commands(document: Path) -> Iterator[Place]:
    """Yield the commands of shell blocks, with joined lines and without comments, and those in running text."""
    text = document.read_text()
    for match in FENCE.finditer(text):
        if match[2] in SHELL_LANGUAGES:
            first = _line(text, match.start(3))
            joined = re.sub(r"\\\n\s*", lambda broken: " " + "\0" * broken[0].count("\n"), match[3])
            line = first
            for each in joined.splitlines():
                yield Place(document, line, re.sub(r"^\s*\$ ", "", each.replace("\0", "")).strip(), block=True)
                line += 1 + each.count("\0")
    for place in inline_code(document):
        if place.text.startswith(INLINE_COMMANDS) or place.text.split()[0] in our_commands():
            yield place


def our_commands() -> set[str]:
    """Return the names of the product's own Django commands. Tables name them without `run.py manage`."""
    return {path.stem for path in ROOT.glob("headshots/*/management/commands/[a-z]*.py")}


def exists(path: str) -> bool:
    """Return True if a path of the repository exists. Braces and asterisks have their meaning in shells."""
    if braces := re.search(r"\{([^{}]*)\}", path):
        return all(exists(path[: braces.start()] + part + path[braces.end() :]) for part in braces[1].split(","))
    return (ROOT / path).exists() or ("*" in path and any(ROOT.glob(path.rstrip("/"))))


def _without_code(text: str) -> str:
    return INLINE_CODE.sub(_blank, FENCE.sub(_blank, text))


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
