"""A real Prometheus with our rules beside the whole product: quiet while all is well, and it says what was killed."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.test_health import kill, nobody_starts_it_again
from tests.chaos.test_respawn import is_well, wait_for
from tests.chaos.visitor import Visitor
from tests.headshots.dashboard.monitoring.test_monitoring import FOLDER, dashboard, expressions
from tests.helpers.photos import astronaut_path
from tests.helpers.product import Product
from tests.helpers.servers import free_ports

TOKEN = "a token of the tests"
# Beat is called dead after 30 s of silence; the rule waits for a minute more, a broker's for a minute.
MAX_SECONDS = 150

pytestmark = [
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs a Prometheus: Debian's package prometheus"),
]


def get(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310
        return json.load(answer)


@contextmanager
def prometheus(product: Product, folder: Path) -> Iterator[str]:
    """The address of one that scrapes this product, by docker/monitoring/prometheus.yml but for where things are."""
    folder.mkdir()
    token, config = folder / "token", folder / "prometheus.yml"
    token.write_text(TOKEN)
    text = (FOLDER / "prometheus.yml").read_text()
    for theirs, ours in {
        "headshots.example.org": product.url.removeprefix("http://"),
        "scheme: https": "scheme: http",
        "/run/secrets/metrics_token": str(token),
        "/etc/prometheus/alerts.yml": str(FOLDER / "alerts.yml"),
        "_interval: 30s": "_interval: 5s",
        "scrape_timeout: 15s": "scrape_timeout: 5s",
    }.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    config.write_text(text)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://{address}/api/v1"
    finally:
        process.terminate()
        process.wait(30)


def ask(api: str, expression: str) -> list[object]:
    answer = get(f"{api}/query?{urllib.parse.urlencode({'query': expression})}")
    assert answer["status"] == "success", answer
    return answer["data"]["result"]


def is_scraped(api: str) -> bool:
    try:
        return bool(ask(api, 'up{job="headshots"} == 1'))
    except OSError:
        return False


def firing(api: str) -> set[str]:
    """Of the rules that wake somebody; a warning (a nearly full disk) is this machine's own."""
    alerts = get(f"{api}/alerts")["data"]["alerts"]
    return {
        each["labels"]["alertname"]
        for each in alerts
        if each["state"] == "firing" and each["labels"]["severity"] == "critical"
    }


def test_prometheus_raises_the_alerts_of_what_was_killed_and_no_others(
    start_product: Callable[..., Product], tmp_path: Path
) -> None:
    product = start_product(HEADSHOTS_METRICS_TOKEN=TOKEN)
    wait_for(lambda: is_well(product), 60)
    with prometheus(product, tmp_path / "prometheus") as api:
        wait_for(lambda: is_scraped(api), 60)
        wait_for(lambda: bool(ask(api, "headshots_beat_age_seconds < 30")), 60)
        visitor = Visitor(product.url)
        visitor.sign_up("person@example.org")
        visitor.wait_for(visitor.upload("me.png", astronaut_path().read_bytes()), "delivered")
        wait_for(lambda: bool(ask(api, "increase(headshots_pictures_generated_total[1h]) > 0")), 60)

        asked = {each.replace("$job", "headshots") for each in expressions(dashboard()) if "label_values" not in each}
        unanswered = [each for each in asked if not ask(api, each)]
        # Nothing waits, is refused, fails or is paid for yet, and no device has memory of its own.
        usual = re.compile(r"queue_(packs|oldest|pictures)|refus|fail|reject|payments|refunds|worker_device")
        assert [each for each in unanswered if not usual.search(each)] == []
        print(f"{len(asked) - len(unanswered)} of {len(asked)} queries of the dashboard have an answer")
        assert firing(api) == set()

        with nobody_starts_it_again(product):
            began = time.monotonic()
            kill(product, "beat", "default")
            wait_for(lambda: firing(api) >= {"HeadshotsBeatDown", "HeadshotsNoWorker"}, MAX_SECONDS + 60)
            print(f"beat and a worker: {time.monotonic() - began:.0f} s")
            assert firing(api) == {"HeadshotsBeatDown", "HeadshotsNoWorker"}
            began = time.monotonic()
            kill(product, "valkey")
            wait_for(lambda: "HeadshotsBrokerDown" in firing(api), MAX_SECONDS)
            print(f"broker: {time.monotonic() - began:.0f} s")
            began = time.monotonic()
            kill(product, "web")
            wait_for(lambda: "HeadshotsDown" in firing(api), MAX_SECONDS + 60)
            print(f"web: {time.monotonic() - began:.0f} s")

        wait_for(lambda: is_well(product), 90)
        wait_for(lambda: firing(api) == set(), MAX_SECONDS)


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    checked = subprocess.run(
        ["promtool", "check", "rules", str(FOLDER / "alerts.yml")], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
