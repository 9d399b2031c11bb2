"""One command sets everything up, starts it, and leaves nothing behind."""

import ast
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from headshots.launch import CannotRun
from headshots.launch.secret_key import data_id, secret_key
from headshots.vault import rings
from tests.conftest import SCRATCH
from tests.helpers.product import Product, start_below

STATE = SCRATCH / "state"
ROOT = Path(__file__).resolve().parents[3]
SOURCES = [ROOT / "run.py", *sorted((ROOT / "headshots" / "launch").glob("*.py"))]


def environment() -> dict[str, str]:
    """This shell's, without what the tests' own Django was told, and with a state folder of the tests'."""
    shell = {name: value for name, value in os.environ.items() if not name.startswith("HEADSHOTS_")}
    return shell | {"XDG_STATE_HOME": str(STATE)}


def run(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(checkout / "run.py"), *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A clone that needs no package, whose manage.py only says how it was called, and what its first run said."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "run.py", folder)
    (folder / "headshots").mkdir()
    shutil.copy(ROOT / "headshots" / "__init__.py", folder / "headshots")
    shutil.copytree(ROOT / "headshots" / "launch", folder / "headshots" / "launch")
    (folder / "docker").mkdir()
    (folder / "docker" / "requirements.lock").write_text("# nothing\n")
    (folder / "manage.py").write_text(
        "import json, os, sys\nprint(json.dumps({'python': sys.prefix, 'settings': dict(os.environ)}))\n"
    )
    return folder, run(folder, "manage")


@pytest.fixture
def checkout(first_run: tuple[Path, "subprocess.CompletedProcess[str]"]) -> Iterator[Path]:
    """The clone, set up; put right again afterwards."""
    folder, _ = first_run
    yield folder
    (folder / "docker" / "requirements.lock").write_text("# nothing\n")
    assert run(folder, "manage").returncode == 0


@pytest.mark.parametrize("pretend", ["sys.version_info = (3, 10, 12)", "sys.platform = 'win32'"])
def test_where_it_cannot_run_it_says_what_is_needed(pretend: str) -> None:
    program = f"import sys, runpy; {pretend}; runpy.run_path({str(ROOT / 'run.py')!r}, run_name='__main__')"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert result.stderr.startswith("Headshots needs Python 3.11")
    assert "Traceback" not in result.stderr


def test_an_old_python_can_read_the_file_that_tells_it_so() -> None:
    assert ast.parse((ROOT / "run.py").read_text(), feature_version=(3, 7))


def test_it_needs_the_standard_library_only() -> None:
    imported = {
        name
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    others = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name.rpartition(".")[0] or name for name in others} == {"headshots", "headshots.launch"}


def test_a_fresh_clone_gets_its_own_environment_once(
    first_run: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    folder, first = first_run

    second = run(folder, "manage")

    assert json.loads(first.stdout)["python"] == str(folder / ".venv"), first.stderr
    assert "Installing" in first.stderr
    assert json.loads(second.stdout)["python"] == str(folder / ".venv")
    assert second.stderr == ""


def test_services_get_their_settings_and_a_key_that_stays(checkout: Path) -> None:
    settings = json.loads(run(checkout, "manage").stdout)["settings"]

    assert settings["HEADSHOTS_DEBUG"] == "1"
    assert len(settings["HEADSHOTS_SECRET_KEY"]) >= 50
    data = Path(settings["HEADSHOTS_DATA_DIR"])
    key = STATE / "headshots" / "secrets" / (data / "id").read_text().strip()
    assert key.read_text().strip() == settings["HEADSHOTS_SECRET_KEY"]
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700
    assert data.stat().st_mode & 0o777 == 0o700
    assert json.loads(run(checkout, "manage").stdout)["settings"]["HEADSHOTS_SECRET_KEY"] == key.read_text().strip()


def test_a_backup_of_the_data_folder_holds_no_secret_key(checkout: Path) -> None:
    settings = json.loads(run(checkout, "manage").stdout)["settings"]

    files = [path for path in Path(settings["HEADSHOTS_DATA_DIR"]).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if settings["HEADSHOTS_SECRET_KEY"].encode() in path.read_bytes()]


def test_a_key_that_an_earlier_version_left_in_the_data_folder_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSHOTS_HEADSHOT_KEYS_DIR", str(tmp_path / "ring"))
    data = tmp_path / "data"
    data.mkdir()
    (data / "secret_key").write_text("the key that encrypted second factors")

    moved, again = secret_key(data), secret_key(data)

    assert moved == again == "the key that encrypted second factors"
    assert [path.name for path in data.iterdir()] == ["id"]
    (file,) = (tmp_path / "ring" / "secrets").iterdir()
    assert file.name == data_id(data) == rings.data_id(data)
    assert file.stat().st_mode & 0o777 == 0o600


def test_another_key_that_a_restore_brought_back_is_neither_used_nor_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADSHOTS_HEADSHOT_KEYS_DIR", str(tmp_path / "ring"))
    data = tmp_path / "data"
    data.mkdir()
    used = secret_key(data)
    (data / "secret_key").write_text("of another day")

    assert secret_key(data) == used

    assert (data / "secret_key").read_text() == "of another day"
    assert "contain different secret keys" in capfd.readouterr().err


def test_a_new_key_for_data_that_had_another_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("HEADSHOTS_HEADSHOT_KEYS_DIR", str(tmp_path / "ring"))
    used = secret_key(data)
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("HEADSHOTS_HEADSHOT_KEYS_DIR", str(tmp_path / "another ring"))

    assert secret_key(data) != used

    assert f"write the key to {tmp_path / 'another ring' / 'secrets' / data_id(data)}" in capfd.readouterr().err


def test_a_key_is_never_kept_below_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSHOTS_HEADSHOT_KEYS_DIR", str(tmp_path / "ring"))

    with pytest.raises(CannotRun, match="Set HEADSHOTS_HEADSHOT_KEYS_DIR to another folder"):
        secret_key(tmp_path)
    (tmp_path / "ring").write_text("no folder")
    with pytest.raises(CannotRun, match="or set HEADSHOTS_SECRET_KEY"):
        secret_key(tmp_path / "data")


def test_an_interrupted_installation_is_started_afresh(checkout: Path) -> None:
    # An index that takes the question and never answers, for a package that the clone did not need before.
    index = socket.create_server(("127.0.0.1", 0))
    lock = checkout / "docker" / "requirements.lock"
    lock.write_text(f"--index-url http://127.0.0.1:{index.getsockname()[1]}/\nnumpy==2.4.0 --hash=sha256:{64 * '0'}\n")
    command = [sys.executable, str(checkout / "run.py"), "manage"]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True)
    index.settimeout(60)
    index.accept()
    leftover = checkout / ".venv" / "half-a-package"
    leftover.touch()

    os.killpg(process.pid, signal.SIGINT)

    assert process.wait(20) == 130
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    index.close()
    deadline = time.monotonic() + 10
    while any(group == process.pid for group in process_groups()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    lock.write_text("# nothing\n")
    assert run(checkout, "manage").returncode == 0
    assert not leftover.exists()


def test_what_cannot_be_installed_is_a_sentence_and_no_traceback(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    (checkout / "docker" / "requirements.lock").write_text(
        f"--index-url http://127.0.0.1:{nobody}/\nnumpy==2.4.0 --hash=sha256:{64 * '0'}\n"
    )

    result = run(checkout, "manage")

    assert result.returncode == 1
    assert "run.py: pip could not install" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_busy_port_is_a_sentence_and_no_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        result = run(ROOT, "--port", str(port), "--data", str(tmp_path / "data"), "--no-browser")

    assert result.returncode == 1
    assert f"cannot use port {port}" in result.stderr
    assert "Traceback" not in result.stderr


class Restarted:
    """The product on one data folder. A test gets it running, whatever the test before did with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._product: Product | None = None

    def running(self) -> Product:
        if self._product is None or self._product.process.poll() is not None:
            self._product = start_below(self._folder, [], {}, with_database=False)
        return self._product

    def end(self) -> None:
        if self._product is not None:
            self._product.end()


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restarted]:
    # Only the first start makes a database.
    restarted = Restarted(tmp_path_factory.mktemp("product"))
    yield restarted
    restarted.end()


@pytest.fixture
def product(restarted: Restarted) -> Product:
    return restarted.running()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_one_line_says_where_the_page_answers_until_all_processes_stop(product: Product, how: signal.Signals) -> None:
    with urllib.request.urlopen(product.url, timeout=10) as answer:  # noqa: S310
        page = answer.read().decode()
    assert answer.status == 200
    assert "<title>" in page
    assert sum("http://" in line for line in product.output) == 1
    style = re.search(r'href="(/static/site\.[0-9a-f]{12}\.css)"', page)
    assert style is not None, "static files are named by their content"
    question = urllib.request.Request(product.url + style[1], headers={"Accept-Encoding": "gzip"})  # noqa: S310
    with urllib.request.urlopen(question, timeout=10) as answer:  # noqa: S310
        assert answer.headers["Content-Encoding"] == "gzip"
        assert "immutable" in answer.headers["Cache-Control"]
    family = descendants(product.process.pid)
    assert len(family) >= 6

    product.process.send_signal(how)

    assert product.process.wait(20) == 0
    assert [pid for pid in family if is_alive(pid)] == []
    assert not (product.data / "run" / "valkey.sock").is_socket()


def test_its_data_are_in_use_until_it_is_killed_and_everything_with_it(product: Product) -> None:
    second = run(ROOT, "--port", "0", "--data", str(product.data), "--no-browser")
    assert second.returncode == 1
    assert "is in use by another run.py" in second.stderr
    assert product.process.poll() is None
    if sys.platform != "linux":
        pytest.skip("only Linux lets children die with their parent")
    family = descendants(product.process.pid)
    assert len(family) >= 6

    product.process.kill()

    product.process.wait(10)
    deadline = time.monotonic() + 10
    while any(is_alive(pid) for pid in family):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    again = run(ROOT, "--port", "99999", "--data", str(product.data), "--no-browser")
    assert "cannot use port 99999" in again.stderr, "the data folder is free again"


def descendants(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-ewwo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    family, found = {pid}, True
    while found:
        children = {child for child, parent in pairs if parent in family} - family
        found = bool(children)
        family |= children
    return sorted(family - {pid})


def process_groups() -> set[int]:
    listed = subprocess.run(["ps", "-ewwo", "stat=,pgid="], capture_output=True, text=True, check=True).stdout
    return {int(line.split()[1]) for line in listed.splitlines() if not line.startswith("Z")}


def is_alive(pid: int) -> bool:
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(status.strip()) and not status.startswith("Z")
