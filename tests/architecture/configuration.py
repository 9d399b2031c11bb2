"""Generate docs/configuration.md: `python3 -m tests.architecture.configuration`.

Names, types and defaults are read from the source code. Meanings come from docs/configuration.toml. The generator
imports only the standard library, so it runs without the product's packages."""

import ast
import operator
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEANINGS = ROOT / "docs" / "configuration.toml"
TARGET = ROOT / "docs" / "configuration.md"
COMMAND = "python3 -m tests.architecture.configuration"
PREFIX = "HEADSHOTS_"
# Names of the functions that read one variable, and the type of its value.
TYPES = {
    "str": "text", "bool": "yes or no", "list": "list", "float": "number", "db_url": "URL", "email_url": "URL",
    "_int": "whole number", "_path": "path",
}  # fmt: skip
ARITHMETIC = {ast.Mult: operator.mul, ast.Add: operator.add, ast.Sub: operator.sub}
INTRODUCTION = f"""# Configuration
<!-- Generated from headshots/settings.py and docs/configuration.toml. To regenerate: {COMMAND} -->

All settings are environment variables. Containers get every variable in `docker/.env`
([deployment](deployment.md#containers-with-compose)). `python3 run.py` reads variables from your shell:

```
HEADSHOTS_PREVIEWS_PER_DAY=5 python3 run.py
```

Every process reads its variables once, so restart all processes after a change. This command reports missing and
invalid values for production:

```
HEADSHOTS_DEBUG=0 python3 run.py manage check --deploy
```

With systemd or Compose, run it [with the settings of the service](deployment.md#run-commands).

**Production** means that `HEADSHOTS_DEBUG` is off, which is the default. Only `run.py` turns it on. The column
*Required* applies to production: web processes and management commands refuse to start without a required variable.
*Recommended* means that `check --deploy` warns without it. [Deployment](deployment.md#production-checklist) has a list
of what to set.

**Types.** Yes or no: `1` or `0`. List: values separated by commas, without spaces. Path: a relative path starts at the
current folder of the process. To get the default, leave the variable out: an empty value can mean something else.
"""


@dataclass(frozen=True)
class Variable:
    """One environment variable that the code reads.

    Attributes:
        type: one of the values of TYPES, or "text".
        default: the constant default; None if there is none or if it is computed.
        expression: source of a computed default; "" for a constant one."""

    name: str
    type: str
    default: object
    expression: str


@dataclass(frozen=True)
class Entry:
    """What docs/configuration.toml says about one variable.

    Attributes:
        type: the type, if the code reads plain text.
        default: the default in words, for an empty or computed one.
        expression: source of the computed default that `default` describes.
        required: "yes", "no" or "recommended", in production."""

    group: str
    meaning: str
    type: str = ""
    default: str = ""
    expression: str = ""
    required: str = "no"


def constant(node: ast.expr) -> object:
    """Return the value of a constant expression. Raises ValueError if it needs the running program."""
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        return ARITHMETIC[type(node.op)](constant(node.left), constant(node.right))
    return ast.literal_eval(node)


def variable(call: ast.Call, *, fallback: ast.expr | None) -> Variable | None:
    """Return the variable that a call reads, None for a call of something else.

    `fallback`: the expression after `or`, for variables without a default of their own."""
    if not call.args or not isinstance(call.args[0], ast.Constant):
        return None
    reads = ast.unparse(call.func)
    kind = reads.removeprefix("env.")
    if not (reads in {"_int", "_path", "os.environ.get"} or (reads.startswith("env.") and kind in TYPES)):
        return None
    name = str(call.args[0].value)
    defaults = [word.value for word in call.keywords if word.arg == "default"] + call.args[1:]
    source = fallback or (defaults[0] if defaults else ast.Constant(""))
    value_type = "path" if name.endswith(("_DIR", "_ROOT")) else TYPES.get(kind, "text")
    try:
        return Variable(name, value_type, constant(source), "")
    except ValueError:
        return Variable(name, value_type, None, ast.unparse(source))


def variables_in(source: str) -> Iterator[Variable]:
    """Yield the variables that a module reads."""
    tree = ast.parse(source)
    fallbacks = {
        node.values[0]: node.values[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (found := variable(node, fallback=fallbacks.get(node))):
            yield found
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Load)
            and isinstance(node.slice, ast.Constant)
            and ast.unparse(node.value) == "os.environ"
        ):
            yield Variable(str(node.slice.value), "text", "", "")


def fields_of(module: str, *, prefix: str, value_type: str) -> Iterator[Variable]:
    """Yield the variables of a module in headshots/runtime, one per field of its class."""
    tree = ast.parse((ROOT / "headshots" / "runtime" / module).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield Variable(f"{prefix}{node.target.id.upper()}", value_type, constant(node.value), "")


@cache
def read_variables() -> dict[str, Variable]:
    """Return the variables that the product or its tests read. The settings decide about the type and the default."""
    folders = [ROOT / "headshots" / "launch", ROOT / "headshots", ROOT / "pipeline", ROOT / "tests"]
    files = [
        ROOT / "headshots" / "settings.py",
        ROOT / "run.py",
        *(file for top in folders for file in top.rglob("*.py")),
    ]
    in_classes = [
        *fields_of("limits.py", prefix=PREFIX, value_type=TYPES["_int"]),
        *fields_of("operator.py", prefix=f"{PREFIX}OPERATOR_", value_type="text"),
    ]
    found = {each.name: each for each in in_classes}
    for file in files:
        source = file.read_text()
        for each in variables_in(source) if PREFIX in source else ():
            if each.name.startswith(PREFIX):
                found.setdefault(each.name, each)
    return found


def read_entries() -> dict[str, Entry]:
    """Return the entries of docs/configuration.toml, in their order."""
    groups = tomllib.loads(MEANINGS.read_text())["group"]
    return {name: Entry(group["name"], **entry) for group in groups for name, entry in group["settings"].items()}


def default_cell(found: Variable, entry: Entry) -> str:
    """Return the default as the document shows it."""
    if entry.default:
        return entry.default
    if found.default in ("", None, []):
        return "none"
    if isinstance(found.default, bool):
        return f"`{int(found.default)}`"
    if isinstance(found.default, list | tuple):
        return f"`{','.join(map(str, found.default))}`"
    return f"`{found.default}`"


def faults() -> list[str]:
    """Return the differences between the code and docs/configuration.toml, one sentence each."""
    found, entries = read_variables(), read_entries()
    where = MEANINGS.relative_to(ROOT)
    sentences = [f"{name} is read, but {where} has no entry for it." for name in found.keys() - entries.keys()]
    sentences += [f"{where} has an entry for {name}, which is read nowhere." for name in entries.keys() - found.keys()]
    for name in found.keys() & entries.keys():
        each, entry = found[name], entries[name]
        if entry.expression != each.expression:
            sentences.append(
                f"The default of {name} is now {each.expression or each.default!r}: mend default, expression."
            )
        elif each.expression and not entry.default:
            sentences.append(f"The default of {name} is computed: describe it in {where} as `default`.")
        elif entry.default and not each.expression and each.default not in ("", None, []):
            sentences.append(f"{name} has the default {each.default!r}, so its entry must not have one.")
        if entry.type and each.type != "text":
            sentences.append(f"{name} has the type {each.type}, so its entry must not have one.")
        if entry.required not in {"yes", "no", "recommended"}:
            sentences.append(f"{name}: `required` must be yes, no or recommended.")
    return sorted(sentences)


def render() -> str:
    """Return the text of docs/configuration.md."""
    found, entries = read_variables(), read_entries()
    groups = tomllib.loads(MEANINGS.read_text())["group"]
    parts = [
        INTRODUCTION,
        "## Groups\n" + "\n".join(f"- [{group['name']}](#{anchor(group['name'])})" for group in groups),
    ]
    for group in groups:
        rows = [
            f"| `{name}` | {entries[name].type or found[name].type} | {default_cell(found[name], entries[name])} "
            f"| {entries[name].required} | {entries[name].meaning} |"
            for name in group["settings"]
        ]
        head = ["| Variable | Type | Default | Required | Meaning |", "|---|---|---|---|---|"]
        text = group.get("intro", "").strip()
        parts.append("\n".join([f"\n## {group['name']}", *([text, ""] if text else []), *head, *rows]))
    return "\n".join(parts) + "\n"


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    return "".join(each for each in heading.lower().replace(" ", "-") if each.isalnum() or each in "-_")


if __name__ == "__main__":
    if wrong := faults():
        sys.exit("\n".join(wrong))
    TARGET.write_text(render())
    print(f"{TARGET.relative_to(ROOT)} written: {len(read_entries())} variables.")
