"""Show that visitors who attack, each in a way that once stopped the product, do not stop the others."""

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from urllib.error import HTTPError
from uuid import uuid4

from tests.chaos.hostile import ATTACKS
from tests.chaos.visitor import Visitor
from tests.helpers import photos
from tests.helpers.product import ROOT, Product

# How much longer an honest upload may take, and how long the health check may: the promises of the product.
MAX_SLOWDOWN = 2.0
HEALTHY_SECONDS = 1.0
# Until every attack has begun, and the free pack that one attacker uploads for its streams has been made.
ONSET_SECONDS = 14.0
# On shared cores a quiet time differs by this much from one to the next.
NOISE_SECONDS = 2.0
# Uploads before and under the attacks.
ROUNDS = 3


class HealthWatch:
    """Asks /healthz twice a second. `seconds`: how long each answer took."""

    def __init__(self, product: Product) -> None:
        self.url = f"{product.url}/healthz"
        self.seconds: list[float] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "HealthWatch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join(70)

    def _watch(self) -> None:
        while not self._stopped.wait(0.5):
            began = time.monotonic()
            try:
                with urllib.request.urlopen(self.url, timeout=60) as answer:  # noqa: S310
                    answer.read()
            except HTTPError:
                pass  # An answer that says what is wrong is an answer.
            except OSError:
                self.seconds.append(float("inf"))
                continue
            self.seconds.append(time.monotonic() - began)


@contextmanager
def attacked(product: Product, names: Sequence[str]) -> Iterator[dict[str, dict[str, int]]]:
    """The product under these attacks; afterwards what was answered: attack -> status -> how often."""
    # With low priority: real attackers bring machines of their own and take none of our processors.
    command = ["nice", "-n", "10", sys.executable, "-m", "tests.chaos.hostile", product.url, *names]
    answers: dict[str, dict[str, int]] = {}
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(ONSET_SECONDS)
        yield answers
        answers |= json.loads(process.communicate("", timeout=60)[0])
    finally:
        process.kill()
        process.wait()


def seconds_to_headshots(visitor: Visitor) -> float:
    """From an upload to its four headshots, as a person waits for them."""
    began = time.monotonic()
    shoot = visitor.upload("astronaut.png", photos.astronaut_path().read_bytes())
    visitor.wait_for(shoot, "delivered", 120)
    assert len(visitor.headshots(shoot)) == 4
    return time.monotonic() - began


def median_seconds(visitor: Visitor) -> float:
    """The median over a few uploads, from upload to headshots."""
    return sorted(seconds_to_headshots(visitor) for _ in range(ROUNDS))[ROUNDS // 2]


def test_an_honest_upload_takes_at_most_twice_as_long_under_attack(start_product: Callable[..., Product]) -> None:
    product = start_product(HEADSHOTS_PREVIEWS_PER_DAY="20")
    visitor = Visitor(product.url)
    visitor.sign_up(f"{uuid4().hex}@example.org")
    # The first one loads the models.
    seconds_to_headshots(visitor)
    quiet = median_seconds(visitor)

    with HealthWatch(product) as watch, attacked(product, tuple(ATTACKS)) as answers:
        under_attack = median_seconds(visitor)
    print(f"quiet {quiet:.1f} s, attacked {under_attack:.1f} s, health {max(watch.seconds):.2f} s, {answers}")

    assert answers.keys() == set(ATTACKS)
    assert all(not status.startswith("5") or status == "503" for statuses in answers.values() for status in statuses)
    assert max(watch.seconds) < HEALTHY_SECONDS
    assert under_attack < MAX_SLOWDOWN * quiet + NOISE_SECONDS
