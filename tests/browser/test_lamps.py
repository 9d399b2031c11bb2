"""The script that keeps the office's lamps up to date, before a web process that hangs."""

from pathlib import Path

from django.template.loader import render_to_string
from playwright.sync_api import Page, Route, expect

from headshots.dashboard.monitoring.health import Lamp, Light

SCRIPT = Path(__file__).resolve().parents[2] / "static" / "lamps.js"
OFFICE = "http://office.test/"


def lamps(*lights: Light) -> str:
    found = [Lamp("broker", f"Lamp {number}", light, "as it is") for number, light in enumerate(lights)]
    return render_to_string("dashboard/_lamps.html", {"lamps": found})


def test_a_web_process_that_hangs_puts_every_lamp_out_until_it_answers_again(page: Page) -> None:
    asked: list[Route] = []
    page.route(OFFICE, lambda route: route.fulfill(content_type="text/html", body=lamps(Light.GREEN, Light.RED)))
    page.route(f"{OFFICE}admin/lamps/", lambda route: asked.append(route))
    page.clock.install()
    page.goto(OFFICE)
    page.add_script_tag(path=SCRIPT)
    before = page.locator(".lamp.green").count()

    page.clock.run_for(5000)
    page.clock.run_for(4500)
    expect(page.locator(".lamp.unknown")).to_have_count(2)
    page.clock.run_for(6000)
    expect(page.locator("[data-lamp=web]")).to_contain_text("does not answer")
    words = page.locator("#lamps").inner_text()
    page.unroute(f"{OFFICE}admin/lamps/")
    page.route(f"{OFFICE}admin/lamps/", lambda route: route.fulfill(content_type="text/html", body=lamps(Light.GREEN)))
    page.clock.run_for(5000)
    expect(page.locator(".lamp.green")).to_have_count(1)

    assert before == 1
    assert asked
    assert "as it is (" in words
    assert words.count("s ago") == 3
    assert page.locator(".lamp.unknown, [data-lamp=web]").count() == 0
