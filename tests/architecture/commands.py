"""Check commands against the parsers of the programs, without starting any of them."""

import argparse
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from django.core.management import CommandError, get_commands, load_command_class

import run
from pipeline.__main__ import build_parser
from pipeline.errors import PipelineError
from tests.architecture.documents import CREATED, PATH, exists, our_commands

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker" / "compose.yml"
# Subcommands of docker compose: those that take services, and those that take one service and a command.
FOR_SERVICES = {"up", "down", "start", "stop", "restart", "logs", "ps", "build", "pull", "rm", "kill", "config", "cp"}
FOR_ONE_SERVICE = {"run", "exec"}
COMPOSE_OPTIONS_WITH_VALUE = {"-f", "--file", "--profile", "-p", "--project-name", "--env-file", "--tail", "--since"}
COMPOSE_OPTIONS_WITH_VALUE |= {"-e", "--env", "-u", "--user", "-v", "--volume", "-w", "--workdir", "--entrypoint"}
COMPOSE_OPTIONS_WITH_VALUE |= {"--scale", "-t", "--timeout", "-n"}
# Words before a command that do not change what it does.
PREFIXES = {"sudo", "nice", "nohup", "time", "exec", "env", "export"}


def fault(command: str, *, complete: bool) -> str:
    """Return the first fault of a shell line in one sentence, "" without one.

    `complete`: the command could be typed as it is. Otherwise only its names and options are checked."""
    if not complete:
        command = re.sub(r"[\[\]]|…|\.\.\.", " ", command)
    # A vertical bar in running text separates alternatives: `run.py make|check`.
    lexer = shlex.shlex(command, posix=True, punctuation_chars=";&|()<>" if complete else False)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError as error:
        return f"is no shell command: {error}"
    for part in _split(words):
        if found := _fault_of_one(part, complete=complete) or (_path_fault(part) if complete else ""):
            return found
    return ""


def _path_fault(words: list[str]) -> str:
    names = [word for word in words if PATH.fullmatch(word) and (ROOT / word.split("/")[0]).is_dir() and "/" in word]
    return next((f"{name} does not exist" for name in names if not exists(name) and not CREATED.fullmatch(name)), "")


def _split(words: Sequence[str]) -> list[list[str]]:
    """Return the commands of a line that are joined by &&, ||, ; or |, each without prefixes and redirections."""
    parts: list[list[str]] = [[]]
    for word in words:
        if re.fullmatch(r"[;&|()]+", word):
            parts.append([])
        elif not (not parts[-1] and (word in PREFIXES or re.match(r"\w+=", word))):
            parts[-1].append(word)
    return [_without_redirections(part) for part in parts if part]


def _without_redirections(words: list[str]) -> list[str]:
    end = next((at for at, word in enumerate(words) if re.match(r"[<>]", word)), len(words))
    return words[:end]


def _fault_of_one(words: list[str], *, complete: bool) -> str:
    if not words:
        return ""
    program, rest = words[0], words[1:]
    if program.endswith("run.py"):
        return _run_fault(rest, complete=complete)
    if program.endswith("manage.py"):
        return _manage_fault(rest, complete=complete)
    if program in our_commands() and not complete:
        return _manage_fault(words, complete=False)
    if re.fullmatch(r"(\.?\w*/)*python3?(\.\d+)?", program) and rest:
        if rest[0] == "-m" and len(rest) > 1:
            return _module_fault(rest[1], rest[2:], complete=complete)
        return _fault_of_one(rest, complete=complete) if rest[0].endswith(".py") else ""
    if words[:2] == ["docker", "compose"]:
        return _compose_fault(words[2:], complete=complete)
    return ""


def _run_fault(words: list[str], *, complete: bool) -> str:
    if not words or words[0].startswith("-"):
        return _parser_fault(_serve_parser(), words, complete=complete)
    command, rest = words[0], words[1:]
    if "|" in command and not complete:
        return next(filter(None, (_run_fault([each], complete=False) for each in command.split("|"))), "")
    if command in run.PIPELINE_COMMANDS:
        return _pipeline_fault(words, complete=complete)
    if command == "doctor":
        return _manage_fault(words, complete=complete)
    if command == "manage":
        return _manage_fault(rest, complete=complete)
    if command == "test":
        return _pytest_fault(rest)
    is_placeholder = command.startswith("$") or (command.isupper() and not complete)
    return "" if is_placeholder else f"run.py has no command {command}"


def _serve_parser() -> argparse.ArgumentParser:
    """Return the parser of `run.py` without a command."""

    class Found(Exception):
        pass

    def stop(parser: argparse.ArgumentParser, _words: list[str]) -> argparse.Namespace:
        raise Found(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        try:
            run.serve([])
        except Found as found:
            parser: argparse.ArgumentParser = found.args[0]
            return parser
    raise AssertionError("run.serve parses no arguments")


def _pipeline_fault(words: list[str], *, complete: bool) -> str:
    parser = build_parser()
    commands = next(each.choices for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    if words and words[0] not in commands and not words[0].startswith("-"):
        is_placeholder = words[0].isupper() and not complete
        return "" if is_placeholder else f"the pipeline has no command {words[0]}"
    if complete:
        return _parser_fault(parser, words, complete=True)
    return _parser_fault(commands[words[0]], words[1:], complete=False) if words and words[0] in commands else ""


def _manage_fault(words: list[str], *, complete: bool) -> str:
    if not words or words[0] in {"help", "--help"} or (not complete and not re.fullmatch(r"[a-z_]+", words[0])):
        return ""
    app = get_commands().get(words[0])
    if app is None:
        return f"Django has no command {words[0]}"
    command = load_command_class(app, words[0]) if isinstance(app, str) else app
    return _parser_fault(command.create_parser("manage.py", words[0]), words[1:], complete=complete)


def _parser_fault(parser: argparse.ArgumentParser, words: list[str], *, complete: bool) -> str:
    if not complete:
        options = [word.split("=")[0] for word in words if word.startswith("-") and len(word) > 1]
        return next((f"{parser.prog} has no option {each}" for each in options if each not in _options(parser)), "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "print_help", lambda *_: None)
        try:
            parser.parse_args(words)
        except SystemExit as end:
            return "" if end.code == 0 else f"{parser.prog} does not take {shlex.join(words)}"
        except (PipelineError, CommandError) as error:
            return f"{parser.prog} does not take {shlex.join(words)}: {error}"
    return ""


def _options(parser: argparse.ArgumentParser) -> set[str]:
    return set(parser._option_string_actions)


def _module_fault(module: str, rest: list[str], *, complete: bool) -> str:
    if module == "pipeline":
        return _pipeline_fault(rest, complete=complete)
    if module == "pytest":
        return _pytest_fault(rest)
    place = ROOT / module.replace(".", "/")
    is_ours = (ROOT / module.split(".")[0]).is_dir()
    return (
        f"there is no module {module}" if is_ours and not (place.with_suffix(".py").exists() or place.exists()) else ""
    )


def _pytest_fault(words: list[str]) -> str:
    files = [word.split("::")[0] for word in words if word.startswith("tests/")]
    return next((f"{file} does not exist" for file in files if not (ROOT / file).exists()), "")


def compose_services() -> set[str]:
    """Return the names of the services in docker/compose.yml."""
    block = re.split(r"(?m)^services:$", COMPOSE_FILE.read_text())[1]
    return set(re.findall(r"(?m)^  ([\w-]+):", re.split(r"(?m)^\w", block)[0]))


def _compose_fault(words: list[str], *, complete: bool) -> str:
    plain: list[str] = []
    at = 0
    while at < len(words):
        if words[at] in {"-f", "--file"} and at + 1 < len(words) and not (ROOT / words[at + 1]).exists():
            return f"{words[at + 1]} does not exist"
        if (
            words[at] == "--profile"
            and f"profiles: [{' '.join(words[at + 1 : at + 2])}]" not in COMPOSE_FILE.read_text()
        ):
            return f"docker/compose.yml has no profile {' '.join(words[at + 1 : at + 2])}"
        if plain[:1] and plain[0] in FOR_ONE_SERVICE and len(plain) == 2:
            plain.append(words[at])
            at += 1
            break
        if words[at].startswith("-"):
            at += 2 if words[at] in COMPOSE_OPTIONS_WITH_VALUE else 1
        else:
            plain.append(words[at])
            at += 1
    return _compose_words_fault(plain, words[at:], complete=complete)


def _compose_words_fault(plain: list[str], rest: list[str], *, complete: bool) -> str:
    """Check a subcommand of docker compose with its services, and the command `rest` inside a container."""
    if not plain:
        return ""
    action, services = plain[0], plain[1:]
    if action not in FOR_SERVICES | FOR_ONE_SERVICE:
        return f"docker compose {action} is not known to tests/architecture/commands.py"
    if action in FOR_ONE_SERVICE:
        inner, services = [*services[1:], *rest], services[:1]
        if found := _fault_of_one(inner, complete=complete):
            return found
    if action == "cp":
        services = [each.split(":")[0] for each in services if ":" in each]
    unknown = [each for each in services if each not in compose_services() and not each.isupper()]
    return f"docker/compose.yml has no service {unknown[0]}" if unknown else ""
