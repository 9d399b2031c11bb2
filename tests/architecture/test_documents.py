"""Links, paths, settings and commands in the documents lead to what exists."""

import subprocess
from pathlib import Path

import pytest

from tests.architecture import commands, documents
from tests.architecture.configuration import read_entries
from tests.architecture.documents import Place

ROOT = Path(__file__).resolve().parents[2]


def listing(faults: list[Place] | list[str]) -> str:
    return "\n".join(map(str, ["", *faults]))


def link_fault(link: Place) -> str:
    """Return what is wrong with a link, "" if its file and its heading exist."""
    target, _, anchor = link.text.partition("#")
    if "://" in target or target.startswith("mailto:"):
        return ""
    file = (link.document.parent / target).resolve() if target else link.document
    if not file.exists() or not file.is_relative_to(ROOT):
        return f"{link}: there is no such file"
    if anchor and (file.suffix != ".md" or anchor not in documents.anchors(file)):
        return f"{link}: there is no such heading"
    return ""


def test_links_lead_to_files_and_headings() -> None:
    faults = [
        fault for document in documents.documents() for link in documents.links(document) if (fault := link_fault(link))
    ]

    assert not faults, listing(faults)


def test_paths_exist() -> None:
    faults = [
        path
        for document in documents.documents()
        for path in documents.paths(document)
        if not documents.CREATED.fullmatch(path.text)
        and not documents.exists(path.text)
        # Names without a folder: files of the same folder, or files anywhere in the repository.
        and not ("/" not in path.text and path.text in documents.names_of_files())
    ]

    assert not faults, listing(faults)


def test_settings_exist() -> None:
    known = set(read_entries())
    faults = [
        name
        for document in documents.documents()
        for name in documents.settings(document)
        if name.text not in known
        and not (name.text.endswith("_") and any(each.startswith(name.text) for each in known))
    ]

    assert not faults, listing(faults)


def test_commands_exist_with_their_options() -> None:
    faults = [
        f"{place}\n    {fault}"
        for document in documents.documents()
        for place in documents.commands(document)
        if (fault := commands.fault(place.text, complete=place.block))
    ]

    assert not faults, listing(faults)


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("python3 run.py --port 9000 --no-browser", ""),
        ("python3 run.py --colour", "does not take"),
        ("HEADSHOTS_DEBUG=0 python3 run.py manage check --deploy  # production", ""),
        ("python3 run.py manage forget", "Django has no command forget"),
        ("python3 run.py manage purge --everyone", "does not take"),
        ("python3 run.py make me.jpg --out pack --count 50 --size 4k", ""),
        ("python3 run.py make me.jpg", "does not take"),
        ("python3 run.py paint me.jpg", "run.py has no command paint"),
        ("python -m pipeline upscale me.jpg large.png && python3 run.py doctor --jason", "does not take"),
        ("python3 run.py test tests/nowhere", "tests/nowhere does not exist"),
        ("docker compose -f docker/compose.yml up --build -d web render", ""),
        ("docker compose -f docker/compose.yml exec web python manage.py purge --all-due", ""),
        ("docker compose -f docker/compose.yml exec web python manage.py forget", "Django has no command forget"),
        ("docker compose -f docker/compose.yml restart webb", "docker/compose.yml has no service webb"),
        ("docker compose -f docker/compose.yml --profile monitoring up -d", ""),
        ("docker compose -f docker/compose.yml --profile watching up", "has no profile watching"),
        ("docker compose -f compose.yml up", "compose.yml does not exist"),
        ("pg_dump headshots > dump.sql", ""),
        ('exec python3 run.py "$@"', ""),
        ("cd headshots; python3 run.py paint", "run.py has no command paint"),
        ("cp docker/.env.example docker/.env", ""),
        ("cp -a var/blobs var/id backup/", ""),
        ("cp docker/.env.sample docker/.env", "docker/.env.sample does not exist"),
    ],
)
def test_faults_of_commands_are_found(command: str, fault: str) -> None:
    found = commands.fault(command, complete=True)

    assert found == "" if not fault else fault in found


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("run.py COMMAND --help", ""),
        ("python3 run.py make|check|upscale ...", ""),
        ("python3 run.py make PHOTO --count N", ""),
        ("run.py make --colour", "has no option --colour"),
        ("run.py manage report [--days N] [--mail]", ""),
        ("report [--days N]", ""),
        ("report --weeks N", "has no option --weeks"),
        ("run.py manage report --weeks", "has no option --weeks"),
    ],
)
def test_options_of_commands_in_running_text_are_found(command: str, fault: str) -> None:
    found = commands.fault(command, complete=False)

    assert found == "" if not fault else fault in found


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("# The `admin`, and more\n## Same\n```\n# no heading\n```\n## Same\n### [Link](b.md) _x_\n")

    assert documents.anchors(document) == {"the-admin-and-more", "same", "same-1", "link-_x_"}


def test_places_are_found_with_their_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "[a](b.md)\n`docker/compose.yml` `a/b`\n```\ncd x \\\n  && y\n$ z\n```\n`run.py doctor` ![c](d.png)\n"
    )

    assert [(link.line, link.text) for link in documents.links(document)] == [(1, "b.md"), (8, "d.png")]
    assert [(path.line, path.text) for path in documents.paths(document)] == [(2, "docker/compose.yml")]
    assert [(each.line, each.text, each.block) for each in documents.commands(document)] == [
        (4, "cd x  && y", True), (6, "z", True), (8, "run.py doctor", False)
    ]  # fmt: skip


def test_documents_that_other_files_mention_exist() -> None:
    command = ["git", "grep", "-noE", r"\bdocs/[a-zA-Z0-9/_-]+\.md\b", "--", ":!*.md", ":!tests/architecture"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    faults = [line for line in listed if not documents.exists(line.rsplit(":", 1)[1])]

    assert not faults, listing(faults)
