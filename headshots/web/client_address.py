"""The address of a client, and a limit of requests per address."""

from collections import Counter

from django.conf import settings

from headshots.runtime.networks import visitor_network
from headshots.web.asgi_types import Application, Receive, Scope, Send
from headshots.web.unavailable import send_unavailable


def client_address(scope: Scope) -> str:
    """Return the network of the client, as `visitor_network` does, "" if it is unknown.

    X-Forwarded-For is read from its end, and only as many entries as HEADSHOTS_TRUSTED_PROXIES are trusted."""
    client = scope.get("client")
    host = str(client[0]) if isinstance(client, (list, tuple)) else ""
    proxies = settings.HEADSHOTS_TRUSTED_PROXIES
    headers = scope.get("headers")
    if proxies and isinstance(headers, (list, tuple)):
        given = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1").split(",")
        if len(given) >= proxies and given[-proxies].strip():
            host = given[-proxies].strip()
    return visitor_network(host)


class RequestsPerAddressLimit:
    """An ASGI application that limits the requests in progress per forwarded address, in this process.

    Without proxies it does nothing, because `headshots/web/protocol.py` limits the connections per address."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.in_progress: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not settings.HEADSHOTS_TRUSTED_PROXIES:
            await self.application(scope, receive, send)
            return
        address = client_address(scope)
        if self.in_progress[address] >= settings.HEADSHOTS_LIMITS.max_connections_per_address:
            await send_unavailable(send, retry_after_seconds=5)
            return
        self.in_progress[address] += 1
        try:
            await self.application(scope, receive, send)
        finally:
            self.in_progress[address] -= 1
            if not self.in_progress[address]:
                del self.in_progress[address]
