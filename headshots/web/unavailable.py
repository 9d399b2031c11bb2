"""Refuse a request when the server is at its limit, without a thread or the database."""

from functools import cache

from csp.utils import build_policy
from django.template.loader import render_to_string

from headshots.web.asgi_types import Send


async def send_unavailable(send: Send, *, retry_after_seconds: int) -> None:
    """Answer 503 with our page."""
    page, policy = _page()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(page)).encode()),
        (b"retry-after", str(retry_after_seconds).encode()),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", policy),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": page, "more_body": False})


@cache
def _page() -> tuple[bytes, bytes]:
    return render_to_string("503.html").encode(), str(build_policy()).encode()
