"""The script that keeps the admin's health checks up to date, before a web process that hangs."""

from pathlib import Path

from django.template.loader import render_to_string
from playwright.sync_api import Page, Route, expect

from headshots.dashboard.monitoring.health import Health, HealthCheck

SCRIPT = Path(__file__).resolve().parents[2] / "static" / "health.js"
ADMIN = "http://admin.test/"


def fragment(*statuses: Health) -> str:
    found = [HealthCheck("broker", f"Check {number}", status, "as it is") for number, status in enumerate(statuses)]
    return render_to_string("dashboard/_health_checks.html", {"health_checks": found})


def test_a_web_process_that_hangs_puts_every_lamp_out_until_it_answers_again(page: Page) -> None:
    asked: list[Route] = []
    page.route(ADMIN, lambda route: route.fulfill(content_type="text/html", body=fragment(Health.OK, Health.CRITICAL)))
    page.route(f"{ADMIN}admin/health/", lambda route: asked.append(route))
    page.clock.install()
    page.goto(ADMIN)
    page.add_script_tag(path=SCRIPT)
    before = page.locator(".health-check.ok").count()

    page.clock.run_for(5000)
    page.clock.run_for(4500)
    expect(page.locator(".health-check.unknown")).to_have_count(2)
    page.clock.run_for(6000)
    expect(page.locator("[data-check=web]")).to_contain_text("not responding")
    words = page.locator("#health-checks").inner_text()
    page.unroute(f"{ADMIN}admin/health/")
    page.route(f"{ADMIN}admin/health/", lambda route: route.fulfill(content_type="text/html", body=fragment(Health.OK)))
    page.clock.run_for(5000)
    expect(page.locator(".health-check.ok")).to_have_count(1)

    assert before == 1
    assert asked
    assert "as it is (" in words
    assert words.count("s ago") == 3
    assert page.locator(".health-check.unknown, [data-check=web]").count() == 0
