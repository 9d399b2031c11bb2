from collections.abc import Callable

from django.urls import URLPattern, path

from headshots.pages.views import abuse, favicon, home, how, imprint, likeness, manifest, privacy, robots


def public_pages(is_generative: Callable[[], bool], receive_report: Callable[..., str]) -> tuple[list[URLPattern], str]:
    """Return the URLs of the public pages and their namespace, for `include`.

    is_generative: see `home`. receive_report: see `abuse`. They are arguments because headshots.pages must not import
    the engine and the dashboard."""
    by_engine = {"is_generative": is_generative}
    patterns = [
        path("", home, by_engine, name="home"),
        path("favicon.ico", favicon),
        path("manifest.webmanifest", manifest, name="manifest"),
        path("robots.txt", robots, name="robots"),
        path("how-it-works/", how, by_engine, name="how"),
        path("likeness/", likeness, by_engine, name="likeness"),
        path("privacy/", privacy, name="privacy"),
        path("imprint/", imprint, name="imprint"),
        path("abuse/", abuse, {"receive_report": receive_report}, name="abuse"),
    ]
    return patterns, "pages"
