"""Make the pictures of README.md and docs/ again: `.venv/bin/python -m tests.browser.pictures [NAME ...]`.

Needs the environment of the tests (`python3 run.py test --version` installs it) and Chromium. Starts the product with
folders of its own, so nothing of an installation on this machine is read or changed. The people in the photos do not
exist; docs/pictures/README.md names the source of the photos and their license.
"""

import argparse
import base64
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps
from playwright.sync_api import Browser, FloatRect, Page, ViewportSize, sync_playwright

from tests.browser.test_main_job import shown_headshots, sign_up, upload, wait_for
from tests.helpers.product import CHROMIUM_SWITCHES, ROOT, Product, chromium_path, start_below

FOLDER, STATIC = ROOT / "docs" / "pictures", ROOT / "static" / "img"
PEOPLE = [FOLDER / "people" / f"{number}.jpg" for number in (1, 2, 3)]
STAFF, PASSPHRASE = "ada@example.org", "quite another long pass phrase"
MAX_BYTES, WIDTH = 300_000, 1180
CARD_STYLE = """<style>
    body { margin: 0; padding: 84px 36px; background: #faf9f6; color: #16201d; font-family: sans-serif }
    h1 { margin: 0 0 44px; font-size: 66px; line-height: 1.08; letter-spacing: -0.03em }
    div { display: grid; grid-template-columns: repeat(5, 1fr); gap: 14px }
    img { width: 100%; border-radius: 14px }
</style>"""
# A month of a product that is used a little, so that the dashboard has figures to show.
MONTH = """
from datetime import timedelta
from django.utils import timezone
from headshots.accounts.models import User
from headshots.dashboard.stats.daily_stats import aggregate_days
from tests.helpers.year import Year
Year(until=timezone.now() - timedelta(hours=1), shoots=600, days=29, seed=3).write()
User.objects.create_superuser({email!r}, {password!r})
print(aggregate_days())
"""


def main() -> None:
    pictures: dict[str, Callable[[Path], None]] = {
        "before-and-after": before_and_after,
        "example": example,
        "screens": screens,
    }
    parser = argparse.ArgumentParser(prog="python -m tests.browser.pictures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(pictures)} (default: all)")
    names = parser.parse_args().names or list(pictures)
    for name in names:
        with tempfile.TemporaryDirectory(prefix="headshots-pictures-") as folder:
            pictures[name](Path(folder))


def before_and_after(folder: Path) -> None:
    """One row per person: the photo, and four headshots as the studio engine makes them."""
    height = 320
    strip = Image.new("RGB", (height + 4 * height * 4 // 5, height * len(PEOPLE)))
    for row, person in enumerate(PEOPLE):
        left = 0
        for file in [person, *headshots_of(person, folder / person.stem)]:
            with Image.open(file) as picture:
                scaled = picture.convert("RGB").resize((height * picture.width // picture.height, height))
            strip.paste(scaled, (left, row * height))
            left += scaled.width
    save(strip, "before-and-after.jpg")


def example(folder: Path) -> None:
    """The example on the home page: the middle of the first photo, and its four headshots."""
    names = [path.stem for path in headshots_of(PEOPLE[0], folder)]
    for name, file in zip(["source", *names], [PEOPLE[0], *sorted(folder.glob("*.jpg"))], strict=True):
        with Image.open(file) as picture:
            fitted = ImageOps.fit(picture.convert("RGB"), (480, 600), Image.Resampling.LANCZOS)
        if name == "source":
            # The product uses this file as the sample on which staff try looks.
            fitted.save(STATIC / "example-source.jpg", quality=82, optimize=True)
        # Shown at up to 180 CSS pixels, so this is sharp on screens with two pixels per CSS pixel.
        fitted.resize((360, 450), Image.Resampling.LANCZOS).save(
            STATIC / f"example-{name.split('-')[-1]}.webp", quality=70, method=6
        )
    icons_and_card()


def icons_and_card() -> None:
    """The icons for home screens, and the picture that networks show next to a link to the site."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_SWITCHES)
        page = browser.new_page()
        for size in (180, 512):
            page.set_viewport_size(ViewportSize(width=size, height=size))
            # Systems round the corners of icons themselves, so the color reaches them.
            svg = (ROOT / "static" / "logo.svg").read_text().replace('rx="11"', "")
            page.set_content(f"<body style='margin:0'>{svg}")
            page.screenshot(path=STATIC / f"icon-{size}.png")
        page.set_viewport_size(ViewportSize(width=1200, height=630))
        names = ("source", "corporate", "executive", "outdoor", "bw")
        files = [base64.b64encode((STATIC / f"example-{name}.webp").read_bytes()).decode() for name in names]
        pictures = "".join(f"<img src='data:image/webp;base64,{file}'>" for file in files)
        page.set_content(f"{CARD_STYLE}<h1>One casual photo.<br>Professional headshots.</h1><div>{pictures}</div>")
        page.screenshot(path=STATIC / "card.jpg", quality=84)
        browser.close()


def headshots_of(person: Path, out: Path) -> list[Path]:
    """Make the four free headshots of a photo with the studio engine. Returns their files."""
    command = [sys.executable, "run.py", "make", str(person), "--out", str(out), "--engine", "studio"]
    subprocess.run(command, cwd=ROOT, check=True)
    return sorted(out.glob("*.jpg"))


def screens(folder: Path) -> None:
    """The upload's verdict, the results and the dashboard, in a product that runs for them."""
    product = start_below(folder, [], {})
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_SWITCHES)
            product.shell(MONTH.format(email=STAFF, password=PASSPHRASE))
            customer(browser, product, folder)
            dashboard(browser, product)
            browser.close()
    finally:
        product.stop()


def customer(browser: Browser, product: Product, folder: Path) -> None:
    """Upload a good photo and one that is too dark, and show what the product says and makes."""
    page = new_page(browser)
    sign_up(page, product)
    upload(page, [PEOPLE[0], darkened(PEOPLE[0], folder)])
    wait_for(page, lambda: shown_headshots(page) == 4, 90, "four headshots")
    # Until the last nudge has arrived.
    page.wait_for_timeout(1000)
    save(screenshot(page), "results.jpg")
    verdicts, privacy = page.locator("#verdicts").bounding_box(), page.locator("#privacy").bounding_box()
    assert verdicts is not None
    assert privacy is not None
    top, bottom = verdicts["y"] - 24, privacy["y"] + privacy["height"] + 24
    save(screenshot(page, {"x": 0, "y": top, "width": WIDTH, "height": bottom - top}), "verdict.jpg")


def dashboard(browser: Browser, product: Product) -> None:
    """Show the admin's first page, with the figures of a made-up month."""
    page = new_page(browser, height=1120)
    page.goto(f"{product.url}/admin/?days=30")
    page.fill("input[name=login]", STAFF)
    page.fill("input[name=password]", PASSPHRASE)
    page.locator("form:has(input[name=login]) button[type=submit]").click()
    page.wait_for_url("**/admin/**")
    # Until the workers have sent a heartbeat after the load that the month was.
    page.wait_for_timeout(6000)
    page.goto(f"{product.url}/admin/?days=30")
    save(screenshot(page), "dashboard.jpg")


def new_page(browser: Browser, height: int = 860) -> Page:
    viewport = ViewportSize(width=WIDTH, height=height)
    return browser.new_context(viewport=viewport, device_scale_factor=1.5, locale="en-US").new_page()


def darkened(photo: Path, folder: Path) -> Path:
    """The same photo as if it had been taken at night."""
    target = folder / "night.jpg"
    with Image.open(photo) as picture:
        ImageEnhance.Brightness(picture.convert("RGB")).enhance(0.12).save(target, quality=95)
    return target


def screenshot(page: Page, clip: FloatRect | None = None) -> Image.Image:
    """What the window shows, or a part of the whole page."""
    with Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=clip is not None))) as picture:
        return picture.convert("RGB")


def save(picture: Image.Image, name: str) -> None:
    """Write it as JPEG, as good as the limit of its size allows."""
    for quality in range(88, 40, -4):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        if buffer.tell() <= MAX_BYTES:
            break
    (FOLDER / name).write_bytes(buffer.getvalue())
    print(f"{name}: {picture.width} x {picture.height}, {buffer.tell() // 1000} kB, quality {quality}")


if __name__ == "__main__":
    main()
