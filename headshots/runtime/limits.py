"""Limits of the web processes. HEADSHOTS_ and a limit's name in capitals set it."""

from collections.abc import Callable
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Limits:
    """Limits of requests. Those of one process by nature (threads, connections) say so; the rest holds for all."""

    # In each process: requests that are worked on at once, each with a database connection.
    web_threads: int = 16
    # How long a request waits for one of them, and for room for its body.
    web_queue_timeout_seconds: int = 10
    # In each process: open connections, in all and of one address (where no proxy of the operator's stands in front).
    # Behind proxies the second one limits requests in progress of one forwarded address.
    max_connections: int = 1000
    max_connections_per_address: int = 100
    # How long the head of a request may take, from its first byte on or from the connection on.
    header_timeout_seconds: int = 10
    # A body must bring so many bytes a second on average after the grace; within a grace something must come.
    min_body_bytes_per_second: int = 50_000
    body_grace_seconds: int = 20
    body_timeout_seconds: int = 600
    # All bodies that are in memory at the same time, those that are being worked on included.
    body_budget_bytes: int = 512 * 1024 * 1024
    # Event streams: of one account, and all together.
    max_streams_per_account: int = 6
    max_streams: int = 500
    # Uploaded photos that are decoded at the same time, and pictures whose marks are read: each takes a process of up
    # to 1.5 GB.
    max_concurrent_decodes: int = 2
    max_concurrent_verifications: int = 2


def read_limits(read_int: Callable[[str, int], int]) -> Limits:
    """Return the limits as the environment sets them; `read_int` reads one variable, with its default."""
    usual = Limits()
    names = [field.name for field in fields(Limits)]
    return Limits(**{name: read_int(f"HEADSHOTS_{name.upper()}", getattr(usual, name)) for name in names})
