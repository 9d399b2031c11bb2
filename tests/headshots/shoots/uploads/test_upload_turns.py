"""Uploads wait for each other for a while and not for ever, one account never for long, and none is tried endlessly."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.conf import settings as product
from django.test import Client

from headshots.accounts.models import User
from headshots.shoots.models import Shoot
from headshots.shoots.uploads import forms
from headshots.vault.models import Blob
from headshots.web.budgets import Budget
from pipeline.photos import intake
from tests.helpers import photos
from tests.helpers.factories import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


@pytest.fixture
def browser(person: User, client: Client) -> Client:
    client.force_login(person)
    return client


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "WAIT_SECONDS", 0.5)


def decodes() -> Budget:
    return Budget("decodes", total=product.HEADSHOTS_LIMITS.max_concurrent_decodes, per_holder=1, lease_seconds=30)


def upload(client: Client, data: bytes, count: int = 1) -> tuple[int, str, str]:
    """Status, page and Retry-After of the answer."""
    files = []
    for number in range(count):
        files.append(BytesIO(data))
        files[-1].name = f"{number}.jpg"
    response = client.post("/shoots/new/", {"photos": files, "consent": "on", "is_me": "on", "submission": uuid4()})
    return response.status_code, response.content.decode(), response.get("Retry-After", "")


def nothing_is_stored() -> bool:
    return not Shoot.objects.exists() and not Blob.objects.exists()


def astronaut() -> bytes:
    return photos.astronaut_path().read_bytes()


def test_while_one_account_is_decoding_another_one_goes_ahead(browser: Client, person: User) -> None:
    """Two uploads of one account held up everybody for a minute."""
    other = make_user()
    other_browser = Client()
    other_browser.force_login(other)
    with decodes().hold(holder=str(person.pk)):
        own, page, retry_after = upload(browser, astronaut())
        others, _, _ = upload(other_browser, astronaut())

    assert (own, others) == (503, 302)
    assert "Nothing was saved" in page
    assert retry_after == "5"
    assert Shoot.objects.get().owner == other


def test_a_wait_for_a_decoder_ends(browser: Client, settings: LazySettings) -> None:
    settings.HEADSHOTS_LIMITS = replace(settings.HEADSHOTS_LIMITS, max_concurrent_decodes=1)
    began = time.monotonic()
    with decodes().hold(holder="another account"):
        status, page, _ = upload(browser, astronaut(), count=3)
    waited = time.monotonic() - began

    assert status == 503
    assert "We&#x27;re busy with other uploads right now. Nothing was saved" in page
    assert nothing_is_stored()
    assert 0.4 < waited < 10


def test_slow_photos_of_one_upload_do_not_use_up_its_own_wait(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    waits, hold, clean = [], Budget.hold, intake.clean_photo

    def noted(self: Budget, *, holder: str, wait_seconds: float = 0.0, **rest: Any) -> Any:
        if self.name == "decodes":
            waits.append(wait_seconds)
        return hold(self, holder=holder, wait_seconds=wait_seconds, **rest)

    def slow(data: bytes, *rest: Any) -> Any:
        time.sleep(forms.WAIT_SECONDS + 0.1)
        return clean(data, *rest)

    monkeypatch.setattr(Budget, "hold", noted)
    monkeypatch.setattr(intake, "clean_photo", slow)

    status, _, _ = upload(browser, astronaut(), count=2)

    assert status == 302
    assert waits[0] == forms.WAIT_SECONDS
    assert waits[1] > 0


def test_an_upload_goes_ahead_as_soon_as_a_decoder_is_free(
    browser: Client, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HEADSHOTS_LIMITS = replace(settings.HEADSHOTS_LIMITS, max_concurrent_decodes=1)
    monkeypatch.setattr(forms, "WAIT_SECONDS", 20)
    taken, done = threading.Event(), threading.Event()

    def keep_for_a_while() -> None:
        with decodes().hold(holder="another account"):
            taken.set()
            done.wait(0.5)

    keeper = threading.Thread(target=keep_for_a_while)
    keeper.start()
    taken.wait(10)
    status, _, _ = upload(browser, astronaut())
    done.set()
    keeper.join()

    assert status == 302


@pytest.fixture
def two_uploads_under_way(person: User) -> Iterator[None]:
    uploads = Budget("uploads", total=100, per_holder=2, lease_seconds=30)
    with uploads.hold(holder=str(person.pk)), uploads.hold(holder=str(person.pk)):
        yield


@pytest.mark.usefixtures("two_uploads_under_way")
def test_a_third_upload_of_an_account_does_not_wait_in_a_thread(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "WAIT_SECONDS", 60)
    began = time.monotonic()

    status, _, _ = upload(browser, astronaut())

    assert status == 503
    assert time.monotonic() - began < 20


def test_refused_photos_count_too(browser: Client, settings: LazySettings) -> None:
    settings.ACCOUNT_RATE_LIMITS = product.ACCOUNT_RATE_LIMITS | {"upload": "5/10m/user"}

    answers = [upload(browser, b"", count=2) for _ in range(3)]

    assert [status for status, _, _ in answers] == [422, 422, 429]
    assert "uploaded a lot of photos in a short time. Nothing was saved" in answers[2][1]
    assert answers[2][2] == "600"


def test_a_refused_photo_that_kept_a_decoder_busy_counts_by_the_second(
    browser: Client, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.ACCOUNT_RATE_LIMITS = product.ACCOUNT_RATE_LIMITS | {"upload": "3/10m/user"}
    # A decoder that a photo keeps busy until it is ended.
    endless = tmp_path / "decoder.py"
    endless.write_text("import sys\nsys.stdin.buffer.read()\nprint('ready', flush=True)\nwhile True: pass\n")
    monkeypatch.setattr(intake, "DECODER", endless)
    (limits,) = intake.clean_photo.__defaults__
    monkeypatch.setattr(intake.clean_photo, "__defaults__", (replace(limits, seconds=2.2),))

    statuses = [upload(browser, data)[0] for data in (astronaut(), b"")]

    assert statuses == [422, 429]


def test_a_good_photo_that_leads_to_no_shoot_counts_by_the_second(
    browser: Client, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.ACCOUNT_RATE_LIMITS = product.ACCOUNT_RATE_LIMITS | {"upload": "3/10m/user"}
    slow = tmp_path / "decoder.py"
    run = f"import runpy\nrunpy.run_path({str(intake.DECODER)!r}, run_name='__main__')\n"
    slow.write_text(f"import time\ntime.sleep(2.2)\n{run}")
    monkeypatch.setattr(intake, "DECODER", slow)

    unticked = browser.post("/shoots/new/", {"photos": BytesIO(astronaut()), "is_me": "on", "submission": uuid4()})

    assert unticked.status_code == 422
    assert "t read this file" not in unticked.content.decode()
    assert upload(browser, b"")[0] == 429


def test_an_address_is_limited_over_its_accounts(settings: LazySettings) -> None:
    settings.ACCOUNT_RATE_LIMITS = product.ACCOUNT_RATE_LIMITS | {"upload": "30/10m/user,3/10m/ip"}
    statuses = []
    for _ in range(2):
        client = Client()
        client.force_login(make_user())
        statuses.append(upload(client, b"", count=2)[0])

    assert statuses == [422, 429]


def test_an_honest_person_meets_no_limit(browser: Client) -> None:
    """Five photos, six times, none of them of use."""
    assert [upload(browser, b"", count=5)[0] for _ in range(6)] == [422] * 6


@pytest.mark.parametrize("server", ["redis://127.0.0.1:9", ""])
def test_without_the_server_of_the_limits_uploads_go_on(browser: Client, settings: LazySettings, server: str) -> None:
    settings.HEADSHOTS_REDIS_URL = server
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9",
            "OPTIONS": {"socket_connect_timeout": 1},
        }
    }

    assert upload(browser, astronaut())[0] == 302


def test_an_upload_without_a_session_leads_to_a_page_that_says_why(client: Client, person: User) -> None:
    # Enforced, as in a browser: the form's token went with the session.
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/shoots/new/", {"photos": BytesIO(astronaut()), "consent": "on", "is_me": "on"})
    sign_in = strict.get(answer["Location"])
    client.force_login(person)
    form = client.get("/shoots/new/?unsent=1").content.decode()

    assert answer.status_code == 302
    assert answer["Location"] == "/accounts/login/?next=/shoots/new/%3Funsent%3D1"
    assert "Your upload wasn’t saved.</strong> You were signed out" in sign_in.content.decode()
    assert 'value="/shoots/new/?unsent=1"' in sign_in.content.decode()
    assert "Your upload wasn’t saved.</strong> You were signed out" in form
    assert nothing_is_stored()
    assert "Your upload wasn’t" not in strict.get("/accounts/login/?next=/shoots/new/").content.decode()


def test_a_form_of_another_session_is_refused_and_says_that_no_photo_was_kept(person: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person)

    answer = strict.post("/shoots/new/", {"photos": BytesIO(astronaut()), "consent": "on", "is_me": "on"})

    assert answer.status_code == 403
    assert "saved no photos" in answer.content.decode()
    assert 'href="/shoots/new/">Open the upload form again' in answer.content.decode()
    assert nothing_is_stored()


@pytest.mark.parametrize("name", ["DSC00123.HIF", "IMG_0001", "صورة.jpg", "photo\u202egpj.exe", "x" * 300 + ".jpg"])
def test_a_photo_is_known_by_its_content_whatever_its_name(browser: Client, name: str) -> None:
    file = BytesIO(astronaut())
    file.name = name

    answer = browser.post("/shoots/new/", {"photos": file, "consent": "on", "is_me": "on"})

    assert answer.status_code == 302


def test_far_too_many_photos_are_told_how_many_there_may_be(browser: Client) -> None:
    """A browser without scripts sends all that were chosen."""
    status, page, _ = upload(browser, b"", count=60)

    assert status == 413
    assert "up to 5 at a time" in page


@pytest.mark.parametrize("sent", [{"photos": "no file"}, {}, {"photos": ""}])
def test_a_form_without_a_file_is_answered_in_the_form(browser: Client, sent: dict[str, str]) -> None:
    answer = browser.post("/shoots/new/", sent | {"consent": "on", "is_me": "on"})

    assert answer.status_code == 422
    assert "Please choose at least one photo" in answer.content.decode()
