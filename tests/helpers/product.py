"""The whole product as a newcomer starts it, and a real browser before it."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.helpers.migrated import copy_migrated_database

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_TIMEOUT_SECONDS = 90
SHARED = {
    # Of one address.
    "HEADSHOTS_PREVIEWS_PER_DAY": "200",
    # Small packs of small pictures: two in each of five looks.
    "HEADSHOTS_PREMIUM_COUNT": "10",
    "HEADSHOTS_PREMIUM_LONG_EDGE": "640",
    "HEADSHOTS_ABUSE_EMAIL": "help@example.org",
    "HEADSHOTS_OPERATOR": "Example Ltd, 1 Some Street, Sometown",
    "HEADSHOTS_BACKUP_DAYS": "14",
    "HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS": "5",
}
"""Settings of the product that tests share."""


@dataclass
class Product:
    """A running product: its address, its folders and what it printed."""

    process: "subprocess.Popen[str]"
    data: Path
    photo_keys: Path
    headshot_keys: Path
    url: str = ""
    output: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    def order_premium(self, looks: int = 5) -> str:
        """The id of a premium pack of the newest shoot, queued without a payment, as staff's own code could do it."""
        return self.shell(
            "from headshots.shoots.models import Shoot, Style; "
            "from headshots.shoots.packs.orders import order_premium; "
            "shoot = Shoot.objects.latest('created_at'); "
            f"print(order_premium(shoot=shoot, styles=Style.objects.all()[:{looks}], queued=True).pk)"
        )

    def hire(self, email: str, password: str, role: str) -> None:
        """An account of staff in one of the groups."""
        self.shell(
            "from django.contrib.auth.models import Group; from headshots.accounts.models import User; "
            f"user = User.objects.create_user({email!r}, {password!r}, is_staff=True); "
            f"user.groups.add(Group.objects.get(name={role!r})); print(user.pk)"
        )

    def shell(self, code: str) -> str:
        """The last word that this code prints."""
        return self.manage("shell", "--verbosity", "0", "--command", code).split()[-1]

    def manage(self, *arguments: str) -> str:
        """What `run.py manage` prints, with the environment that the services have."""
        command = [sys.executable, str(ROOT / "run.py"), "manage", *arguments]
        environment = self.environment | {"HEADSHOTS_DATA_DIR": str(self.data)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def query(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Rows of the product's own database, read from outside."""
        with closing(sqlite3.connect(f"file:{self.data / 'db.sqlite3'}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(sql, values).fetchall()

    def change(self, sql: str, *values: object) -> int:
        """Change rows of the product's own database from outside. Returns how many."""
        with closing(sqlite3.connect(self.data / "db.sqlite3", timeout=20)) as database, database:
            return database.execute(sql, values).rowcount

    def keys_of(self, *ids: str) -> list[Path]:
        """The files in both rings, temporary ones as well, that hold the key of a shoot or a pack."""
        names = tuple(str(UUID(each)) for each in ids)
        files = [path for ring in (self.photo_keys, self.headshot_keys) for path in ring.rglob("*.key*")]
        return [path for path in files if path.name.startswith(names)]

    def worker_pid(self, queue: str) -> int:
        """The process that reads this queue now."""
        listed = subprocess.run(["ps", "-ewwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            pid, parent, command = line.split(None, 2)
            if int(parent) == self.process.pid and f"-Q {queue}" in command:
                return int(pid)
        raise LookupError(f"no worker reads {queue}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def end(self) -> None:
        """End it after a test, if it still runs. The second signal spares what `stop` waits for."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


@pytest.fixture
def start_product(tmp_path: Path) -> Iterator[Callable[..., Product]]:
    """A function that starts `run.py` with own folders and the given settings, and waits for its address."""
    started: list[Product] = []

    def start(*arguments: str, **settings: str) -> Product:
        product = start_below(tmp_path, arguments, settings)
        started.append(product)
        return product

    yield start
    for product in started:
        product.end()


@pytest.fixture(scope="session")
def shared_product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A product for all tests that use it as visitors do, each with an account of its own.

    Others may have uploaded before: such a test looks only at its own shoots, payments and lines. Tests that stop the
    product, need other settings or count everything that is left start one of their own."""
    product = start_below(tmp_path_factory.mktemp("product"), [], SHARED)
    yield product
    product.end()


_running = ExitStack()
_browsers: list[Browser] = []
_IS_LAST = pytest.StashKey[bool]()


@pytest.fixture
def chromium(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """The browser of all tests in a row that use one: a start costs two seconds of CPU.

    Closed before a test that uses none. As long as it lives Playwright keeps an event loop running in this thread, and
    Django refuses its database there."""
    if not _browsers:
        path = chromium_path()
        playwright = _running.enter_context(sync_playwright())
        _running.callback(_browsers.clear)
        _browsers.append(playwright.chromium.launch(executable_path=path, args=CHROMIUM_SWITCHES))
        _running.callback(_browsers[0].close)
    yield _browsers[0]
    if request.node.stash[_IS_LAST]:
        _running.close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    item.stash[_IS_LAST] = "chromium" not in getattr(nextitem, "fixturenames", ())


def chromium_path() -> str:
    """Where it is; without one the test is skipped, or fails where a browser is required."""
    path = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("HEADSHOTS_REQUIRE_BROWSER"):
            pytest.fail("no Chromium on this machine, and this run requires one")
        pytest.skip("no Chromium on this machine: install the package chromium")
    return path


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A fresh visitor; the test fails when a page breaks its own security policy or a script."""
    # What moves is drawn by the processor here, which also renders the headshots.
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda line: broken.append(line.text) if "Content Security Policy" in line.text else None)
    yield page
    context.close()
    assert not broken


def start_below(
    folder: Path, arguments: Sequence[str], settings: dict[str, str], *, with_database: bool = True
) -> Product:
    """`run.py` with its folders below this one and the given settings, once it has said its address.

    with_database: give a new data folder the tables that its first start would make."""
    data, source, result = folder / "data", folder / "source-ring", folder / "result-ring"
    if with_database and not data.exists():
        copy_migrated_database(data)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADSHOTS_")}
    weights = os.environ.get("HEADSHOTS_WEIGHTS_DIR")
    environment = inherited | ({"HEADSHOTS_WEIGHTS_DIR": weights} if weights else {}) | settings
    environment |= {"HEADSHOTS_PHOTO_KEYS_DIR": str(source), "HEADSHOTS_HEADSHOT_KEYS_DIR": str(result)}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), "--port", "0", "--data", str(data), "--no-browser", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    product = Product(process, data, source, result, environment=environment)
    threading.Thread(target=_collect, args=(product,), daemon=True).start()
    give_up = time.monotonic() + START_TIMEOUT_SECONDS
    while not product.url:
        if process.poll() is not None or time.monotonic() > give_up:
            pytest.fail("the product did not start:\n" + "".join(product.output))
        time.sleep(0.05)
    return product


def _collect(product: Product) -> None:
    assert product.process.stdout is not None
    for line in product.process.stdout:
        product.output.append(line)
        if "http://" in line and not product.url:
            product.url = "http://" + line.split("http://", 1)[1].split()[0].rstrip("/.")
