"""The address of a client, and a limit of requests per address."""

from collections import Counter

from django.conf import settings

from headshots.runtime.networks import visitor_network
from headshots.web.asgi_types import Application, Receive, Scope, Send
from headshots.web.unavailable import send_unavailable


def client_address(scope: Scope) -> str:
    """Return the address of the client, "" where the server does not know it.

    Forwarding headers count only for as many proxies as the operator has: X-Forwarded-For is read from its end."""
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
    """ASGI application: one forwarded address has so many requests in progress in this process, not more.

    Only behind proxies; without one the limit of connections (`headshots/web/protocol.py`) does the same."""

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
