"""What axe finds wrong with a page as it stands in the browser."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# No preload: axe would copy imported style sheets into the page, which our policy forbids.
OPTIONS = {"preload": False, "resultTypes": ["violations"]}
# A scheme changes colors and nothing else, so only what is about them is looked at a second time.
OF_COLORS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


def assert_accessible(page: Page) -> None:
    """No violation of any of axe's rules, neither wide nor on a phone, neither light nor dark."""
    usual = page.viewport_size
    # What moves is caught half way, in colors that nobody reads by.
    page.emulate_media(reduced_motion="reduce")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme, rules in (("light", {}), ("dark", OF_COLORS)):
            page.emulate_media(color_scheme=scheme)
            # Else a busy machine is caught with the ink of one scheme on the paper of the other.
            page.evaluate("() => new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))")
            found = Axe().run(page, options=OPTIONS | rules)
            assert not found.violations_count, f"{page.url}, {width} px, {scheme}:\n{found.generate_report()}"
    page.emulate_media(color_scheme="light")
    if usual:
        page.set_viewport_size(usual)
