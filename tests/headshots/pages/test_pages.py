"""The pages anybody may read, and the one that tells an operator whether all is well."""

import logging
import re
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.conf import settings as product
from django.core.cache import cache
from django.template.loader import render_to_string
from django.test import Client

from headshots.shoots.models import Pack
from pipeline.errors import Reason
from pipeline.identity.calibration import built_in
from pipeline.identity.likeness import ACCEPT_DISTANCE
from pipeline.photos.rules import MIN_FACE_WIDTH_PX
from pipeline.quality.gate import MAX_DARKER, MAX_HUE_DEGREES, MAX_LIGHTER

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/how-it-works/",
        "/likeness/",
        "/retention/",
        "/privacy/",
        "/terms/",
        "/abuse/",
        "/accounts/signup/",
        "/accounts/login/",
    ],
)
def test_a_page_is_complete_and_asks_nothing_of_other_hosts(client: Client, address: str) -> None:
    response = client.get(address)

    page = response.content.decode()
    assert response.status_code == 200
    assert page.startswith("<!doctype html>")
    assert len(re.findall("<h1", page)) == 1
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert "<style" not in page
    assert " style=" not in page
    assert not re.search(r"<script(?![^>]* src=)", page)
    assert not re.search(r"\son[a-z]+=", page)


def test_networks_phones_and_search_engines_find_what_they_ask_for(client: Client, settings: LazySettings) -> None:
    settings.HEADSHOTS_OPERATOR = "Example Ltd"

    for path in ("/", "/how-it-works/", "/pricing/"):
        card = dict(re.findall(r'property="og:(\w+)" content="([^"]+)"', client.get(path).content.decode()))
        assert card["url"] == f"http://testserver{path}"
        assert card["image"] == "http://testserver/static/img/card.jpg"
    icons = client.get("/manifest.webmanifest").json()["icons"]
    assert [icon["sizes"] for icon in icons] == ["180x180", "512x512"]
    for picture in ("img/card.jpg", "img/icon-180.png", "img/icon-512.png"):
        assert (product.BASE_DIR / "static" / picture).is_file()
    robots = client.get("/robots.txt").content.decode()
    assert "Disallow: /shoots/" in robots
    assert "Sitemap: http://testserver/sitemap.xml" in robots
    listed = re.findall(r"<loc>http://testserver([^<]+)</loc>", client.get("/sitemap.xml").content.decode())
    assert "/imprint/" in listed
    assert [path for path in listed if client.get(path).status_code != 200] == []


@pytest.mark.usefixtures("fake_engine")
def test_home_names_the_price_where_packs_are_sold(client: Client, settings: LazySettings) -> None:
    settings.DEBUG = settings.HEADSHOTS_TEST_CHECKOUT = True
    assert "get 50 at 4K for $19" in client.get("/").content.decode()

    settings.HEADSHOTS_TEST_CHECKOUT = False
    assert "$19" not in client.get("/").content.decode()


def test_home_leads_to_sign_up_or_for_who_is_signed_in_to_the_upload(client: Client, person: "object") -> None:
    stranger = client.get("/").content.decode()
    client.force_login(person)
    known = client.get("/").content.decode()

    assert 'href="/accounts/signup/"' in stranger
    assert 'href="/shoots/new/"' in known


def test_the_numbers_on_the_pages_are_the_ones_in_force(client: Client, settings: LazySettings) -> None:
    settings.HEADSHOTS_PREVIEW_COUNT = 6
    settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS = 12

    page = client.get("/").content.decode()

    assert "6 free headshots" in page
    assert "12 days" in page


def test_every_reason_the_pipeline_knows_has_words(client: Client) -> None:
    unknown = render_to_string("shoots/_reason.html", {"code": "something new"})

    without = [code for code in Reason if render_to_string("shoots/_reason.html", {"code": code.value}) == unknown]

    assert without == []


def test_every_state_of_a_pack_has_words() -> None:
    for state in Pack.State:
        words = render_to_string("shoots/_pack_words.html", {"pack": {"state": state.value, "total": 4}})
        assert words.strip()


def test_every_static_file_a_template_names_is_there() -> None:
    # The example pictures are made from the pipeline's own output.
    named = {
        name
        for template in (Path(product.BASE_DIR) / "templates").rglob("*.html")
        for name in re.findall(r"{% static '([^']+)' %}", template.read_text())
    }

    assert {"site.css", "logo.svg", "live.js", "upload.js", "local_time.js"} <= named
    assert [name for name in named if not (Path(product.BASE_DIR) / "static" / name).is_file()] == []


def test_health_is_good_while_database_and_broker_answer(
    client: Client, settings: LazySettings, tmp_path: Path
) -> None:
    # What other tests left may be older than it may be, and the audit would say so.
    settings.HEADSHOTS_DATA_DIR = tmp_path / "data"
    settings.HEADSHOTS_PHOTO_KEYS_DIR = tmp_path / "source"
    settings.HEADSHOTS_HEADSHOT_KEYS_DIR = tmp_path / "result"
    settings.HEADSHOTS_DATA_DIR.mkdir()
    settings.HEADSHOTS_RUN_DIR = tmp_path
    (tmp_path / "render.heartbeat").touch()
    # What another test found may still be known.
    cache.delete("retention-is-sound")

    response = client.get("/healthz")

    health = response.json()
    assert response.status_code == 200
    assert health["status"] == "ok"
    assert health["heartbeat_seconds"]["render"] < 60
    assert health["heartbeat_seconds"]["beat"] is None


def test_health_fails_when_the_broker_is_away(client: Client, settings: LazySettings) -> None:
    away = {**settings.CACHES["default"], "LOCATION": "unix:///nowhere/valkey.sock"}
    settings.CACHES = {"default": away}

    response = client.get("/healthz")

    assert response.status_code == 503
    assert response.json()["broker"] is False
    assert response.json()["database"] is True


def test_health_writes_one_line_when_something_goes_and_one_when_it_is_back(
    client: Client, settings: LazySettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else nobody here would see what Django itself writes about an answer.
    monkeypatch.setattr(logging.getLogger("django"), "propagate", True)
    here = settings.CACHES
    client.get("/healthz")
    caplog.clear()

    for caches in ({"default": {**here["default"], "LOCATION": "unix:///nowhere/valkey.sock"}}, here):
        settings.CACHES = caches
        for _ in range(3):
            client.get("/healthz")

    messages = [record.getMessage() for record in caplog.records if "broker" in record.getMessage()]
    assert messages == ["health checks failing: broker", "health checks passing again: broker"]
    assert not [record for record in caplog.records if record.name.startswith("django")]


def test_an_anonymous_visit_leaves_no_cookie_behind(client: Client) -> None:
    assert not client.get("/").cookies


def test_the_guide_to_likeness_names_the_numbers_that_are_in_force(client: Client) -> None:
    page = " ".join(client.get("/likeness/").content.decode().split())
    fit = built_in()
    facts = fit.provenance

    assert f"below {ACCEPT_DISTANCE}" in page
    assert f"{facts['people']} people" in page
    assert f"{facts['same_pairs'] + facts['different_pairs']:,} pairs" in page
    assert f"of {facts['different_pairs']:,} pairs of different people" in page
    assert f"more than {fit.cap:.0%}" in page
    assert f"at most {MAX_LIGHTER:.0f} steps of lightness (of 100) lighter or {MAX_DARKER:.0f} darker" in page
    assert f"at most {MAX_HUE_DEGREES:.0f} degrees" in page
    assert f"smaller than {MIN_FACE_WIDTH_PX} pixels" in page


def test_the_guide_is_linked_from_every_page_and_from_how_it_works(client: Client) -> None:
    assert 'href="/likeness/"' in client.get("/").content.decode()
    assert client.get("/how-it-works/").content.decode().count('href="/likeness/"') >= 2
