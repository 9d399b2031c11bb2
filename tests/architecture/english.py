"""Forms of English that this project does not use, each with what to write instead, and a finder for them.

Run `python tests/architecture/english.py [PATH ...]` to list them. Code in backticks and template tags are not read.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Kinds of text: what visitors, customers and staff see; documents; first paragraphs of docstrings; comments.
UI, DOCS, DOCSTRING, COMMENT = "ui", "docs", "docstring", "comment"
EVERYWHERE = frozenset({UI, DOCS, DOCSTRING, COMMENT})
READ_BY_USERS = frozenset({UI, DOCS})
SEEN = frozenset({UI})
MAX_WORDS = {UI: 35, DOCS: 35, DOCSTRING: 45, COMMENT: 45}


@dataclass(frozen=True)
class Text:
    """A piece of prose: the file, relative to the root, the line where it begins, its kind and its words."""

    path: str
    line: int
    kind: str
    words: str


@dataclass(frozen=True)
class Finding:
    text: Text
    found: str
    instead: str

    def __str__(self) -> str:
        return f"{self.text.path}:{self.text.line}: “{self.found}” ({self.text.kind}): {self.instead}"


def _form(
    pattern: str, instead: str, kinds: frozenset[str] = EVERYWHERE
) -> tuple[re.Pattern[str], str, frozenset[str]]:
    return re.compile(pattern, re.IGNORECASE), instead, kinds


_UNITS = (
    "job|queue|pack|process|shoot|file|worker|row|task|account|key|run|machine|photo|picture|look|pass|service|second"
)

FORMS = (
    # Subjects and pronouns
    _form(r"\bwho(m)?ever\b", "name the subject"),
    _form(r"\b(some|no|every|any)body\b", "someone, no one, everyone, or name the subject"),
    _form(r"\bthe ones? that\b", "name it", READ_BY_USERS),
    _form(r"\b(its|their|whose) person\b", "the customer, or the subject of a photo"),
    _form(r"\bfor who\b", "for people who", READ_BY_USERS),
    # German idioms
    _form(r"\banew\b", "again"),
    _form(r"\bby (itself|themselves|ourselves|himself)\b", "automatically, or alone"),
    _form(r"\bfor ever\b", "forever, permanently"),
    _form(r"\b(will|would) (not )?do(?=[.,;:?!]|$)", "say what is right or wrong with it"),
    _form(r"\b(hold|holds|held|holding) against\b", "compare with"),
    _form(r"\bgiv(e|es|en|ing) (it |them |money |the money |nothing )?back\b|\bgave (it )?back\b", "refund, return"),
    _form(r"\bgo(es)? back by\b", "is refunded"),
    _form(r"\b(go|goes|went|going) on\b(?! (sale|to))", "continue"),
    _form(r"\b(is|are|was|were|be|been) told\b", "see, is notified, learns"),
    _form(r"\bwhat (be|has be)c[oa]me of\b|\bbecame of\b", "the result of, the status of"),
    _form(r"\ban own\b", "its own"),
    _form(r"\bbeside\b", "next to, in addition to"),
    _form(r"[,;:] else\b(?! if)|(?:^|[.] )else\b(?! if)", "otherwise"),
    _form(rf"\bone (?!without)\w+ an? ({_UNITS})\b", "one … per …"),
    _form(r"\bof (each|any|all) kinds?\b", "any kind of", READ_BY_USERS),
    _form(r"\bhow it stands\b", "status"),
    _form(r"\bin the making\b", "being made"),
    _form(r"\b(it|they|this|that|he|she) stays as (it|they) (is|are)\b", "does not change", READ_BY_USERS),
    # States as places and living things
    _form(
        r"\b(lies?|lay|lying) (in|on|below|beside|at|there|apart|where|near|outside|inside|under|behind)\b",
        "is, is stored",
    ),
    _form(r"\bstand(s|ing)? (in|on|at|under|there|beside|below|here|by)\b", "is, is shown, is recorded"),
    _form(r"\b(rests|resting|woken|wakes up|goes to sleep)\b", "waits for a retry, is started again"),
    _form(r"\b(dies|die|died|dying)\b", "expires, is destroyed, exits, is killed", READ_BY_USERS),
    _form(r"\bbeats? (its|a|their) heart\b|\bhearts?\b", "heartbeat"),
    _form(r"\bin the clear\b|\bin clear\b", "unencrypted"),
    _form(r"\bis noise\b|\bare noise\b", "cannot be decrypted", READ_BY_USERS),
    _form(r"\b(burnt|burned) out by\b", "overexposed"),
    # Private words of earlier versions
    _form(
        r"\b(deeds?|sitters?|darkroom|lamps lit|twins are|purse|office)\b",
        "audit log, prepared subject, admin, …",
        READ_BY_USERS,
    ),
    _form(r"\blamps?\b", "health check", READ_BY_USERS),
    _form(r"\bspoil(s|ed|t|ing)?\b", "corrupt"),
    _form(r"\bin trouble\b", "being retried"),
    _form(r"\blost to\b", "failed by"),
    _form(r"\bsecond factor\b", "two-factor authentication", SEEN),
    _form(r"\b(leave|leaves) to look\b", "support access"),
    _form(r"\bdeletion receipts?\b", "deletion certificate"),
    _form(r"\bforg[eo]t(s|ten|ting)?\b(?! (your )?password)", "delete", READ_BY_USERS),
    _form(r"\bwritten down\b", "recorded, logged", READ_BY_USERS),
    # Words
    _form(r"\be-mail(s|ed|ing)?\b", "email"),
    _form(r"(?<![-/.\w])mails?\b(?! server)", "email", READ_BY_USERS),
    _form(r"\bmail servers?\b", "email server", READ_BY_USERS),
    _form(r"\btelephones?\b", "phone"),
    _form(r"\bmailbox(es)?\b", "inbox", SEEN),
    _form(r"\bat once\b", "right away, immediately", SEEN),
    _form(r"\byou may\b", "you can", SEEN),
    _form(r"\bto the start page\b", "go to the home page"),
    _form(r"\b(headshots|photos|pictures|files) (is|are) (here|there|gone)\b", "available, deleted", READ_BY_USERS),
    _form(r"\b(is|are) gone\b", "deleted", READ_BY_USERS),
    _form(r"\bno way back\b", "can't be undone"),
    _form(r"\bonce more\b", "again", SEEN),
    _form(r"\d %", "no space before %"),
    _form(r"\b(labelled|cancelled)\b", "American spelling", READ_BY_USERS),
    # Beginnings
    _form(
        r"^(Whether|How|Who|Where|Whose|Those|Of|Without)\b",
        "begin with a verb (Return …) or a noun",
        frozenset({DOCSTRING}),
    ),
)

# (path, words around the form): reason. Each is used, or the test fails.
ALLOWED: dict[tuple[str, str], str] = {}


def texts(paths: list[Path]) -> Iterator[Text]:
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        source = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            yield from _python_texts(name, source)
        elif path.suffix in {".html", ".txt"}:
            yield from _template_texts(name, source)
        elif path.suffix == ".md":
            yield from _document_texts(name, source)
        elif path.suffix == ".js":
            yield from _script_texts(name, source)
        else:
            yield from _configuration_texts(name, source)


def _python_texts(name: str, source: str) -> Iterator[Text]:
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = set()
    for node in nodes:
        body = getattr(node, "body", None)
        if isinstance(body, list):
            for statement in body:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    docstrings.add(id(statement.value))
    inside_f_strings = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            words = "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside_f_strings:
            words = node.value
        else:
            continue
        is_docstring = id(node) in docstrings
        if is_docstring or _is_sentence(words):
            pieces = list(_paragraphs(name, node.lineno, COMMENT if is_docstring else UI, words))
            if is_docstring and pieces:
                pieces[0] = replace(pieces[0], kind=DOCSTRING)
            yield from pieces
    yield from _comments(name, source)


def _is_sentence(words: str) -> bool:
    """Return True for a string that someone reads, False for identifiers, SQL, expressions and formats."""
    is_code = re.match(r"\s*(SELECT|UPDATE|DELETE|CREATE|INSERT|PRAGMA)\b|.*redis\.call", words, re.DOTALL)
    return bool(re.search(r"[a-z]{2} [a-z]", words)) and not is_code


def _comments(name: str, source: str) -> Iterator[Text]:
    block: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if block and token.start[0] != block[-1].start[0] + 1:
                yield from _join(name, block)
                block = []
            block.append(token)
    if block:
        yield from _join(name, block)


def _join(name: str, block: list[tokenize.TokenInfo]) -> Iterator[Text]:
    yield from _paragraphs(name, block[0].start[0], COMMENT, " ".join(token.string.lstrip("# ") for token in block))


def _template_texts(name: str, source: str) -> Iterator[Text]:
    source = re.sub(
        r"\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}|<(script|style)\b.*?</\1>", _lines, source, flags=re.DOTALL
    )
    source = re.sub(r"\{%.*?%\}", lambda match: " ¶ " + _lines(match), source, flags=re.DOTALL)
    source = re.sub(r"\{\{.*?\}\}", lambda match: "…" + _lines(match), source, flags=re.DOTALL)
    for attribute in re.finditer(r'\b(?:alt|title|placeholder|aria-label|data-\w+)="([^"]*? [^"]*)"', source):
        yield from _paragraphs(name, source.count("\n", 0, attribute.start()) + 1, UI, attribute[1])
    blocks = (
        r"</?(?:p|li|h\d|td|th|tr|dt|dd|div|section|main|ul|ol|table|label|legend|button|summary|option|figcaption"
        r"|a|form|br|title)\b"
    )
    source = re.sub(blocks + r"[^>]*>", lambda match: "\0" + _lines(match), source, flags=re.DOTALL)
    source = re.sub(r"<[^>]*>", _lines, source, flags=re.DOTALL)
    line = 1
    for part in source.split("\0"):
        yield from _paragraphs(name, line, UI, part)
        line += part.count("\n")


def _lines(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")


def _document_texts(name: str, source: str) -> Iterator[Text]:
    source = re.sub(r"^ *```.*?^ *```", _lines, source, flags=re.DOTALL | re.MULTILINE)
    line = 1
    for part in re.split(r"(\n\s*\n|\n(?=[-*|#>]|\d+\.)|(?<= )\|(?= ))", source):
        yield from _paragraphs(name, line, DOCS, part)
        line += part.count("\n")


def _script_texts(name: str, source: str) -> Iterator[Text]:
    for number, line in enumerate(source.splitlines(), 1):
        if comment := re.match(r"\s*(?://|/?\*+)\s?(.*)", line):
            yield from _paragraphs(name, number, COMMENT, comment[1])
        for string in re.finditer(r"\"([^\"]*)\"|'([^']*)'|`([^`]*)`", line):
            words = next(filter(None, string.groups()), "")
            if _is_sentence(words):
                yield from _paragraphs(name, number, UI, re.sub(r"\$\{[^}]*\}", "…", words))


def _configuration_texts(name: str, source: str) -> Iterator[Text]:
    for number, line in enumerate(source.splitlines(), 1):
        if comment := re.match(r"\s*#+ ?(.*)", line):
            yield from _paragraphs(name, number, COMMENT, comment[1])
        elif sentence := re.match(r'\s*"?(?:summary|description|title)"?: "?(.*?)"?,?$', line):
            yield from _paragraphs(name, number, DOCS, sentence[1])


def _paragraphs(name: str, line: int, kind: str, words: str) -> Iterator[Text]:
    for part in re.split(r"(\n\s*\n)", words):
        cleaned = " ".join(re.sub(r"``?[^`]*``?|https?://\S+|\]\([^)]*\)", "…", part).split())
        if re.search(r"[A-Za-z]{2}|\d %", cleaned):
            yield Text(name, line + len(list(takewhile(str.isspace, part.splitlines()))), kind, cleaned)
        line += part.count("\n")


def findings(found: Iterator[Text]) -> Iterator[Finding]:
    for text in found:
        for pattern, instead, kinds in FORMS:
            if text.kind in kinds:
                for match in pattern.finditer(text.words):
                    around = text.words[max(0, match.start() - 25) : match.end() + 25]
                    yield Finding(text, around, instead)
        for sentence in re.split(r"(?<=[.!?:;])\s+|[¶|]", text.words):
            length = len(sentence.split())
            if length > MAX_WORDS[text.kind]:
                yield Finding(text, sentence[:60] + "…", f"split this sentence of {length} words")


def default_paths() -> list[Path]:
    """Return the files whose English is checked: the product, its templates, scripts, containers and documents."""
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    chosen = re.compile(
        r"(headshots|pipeline)/(?!.*migrations/).*\.py|(run|manage)\.py|templates/.*\.(html|txt)|static/.*\.js"
        r"|docs/.*\.md|[A-Z_]+\.md|docker/(.*Dockerfile|.*\.yml|\.env\.example|.*dashboard\.json)|\.ci/run"
    )
    return [ROOT / name for name in names if chosen.fullmatch(name) and (ROOT / name).is_file()]


def main(arguments: list[str]) -> int:
    paths = default_paths()
    if arguments:
        wanted = [Path(argument).resolve() for argument in arguments]
        paths = [path for path in paths if any(path == one or one in path.parents for one in wanted)]
    found = [finding for finding in findings(texts(paths)) if not is_allowed(finding)]
    for finding in found:
        print(finding)
    print(f"{len(found)} in {len(paths)} files")
    return 1 if found else 0


def is_allowed(finding: Finding) -> bool:
    return any(matches(finding, allowed) for allowed in ALLOWED)


def matches(finding: Finding, allowed: tuple[str, str]) -> bool:
    path, words = allowed
    return finding.text.path == path and words in finding.found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
