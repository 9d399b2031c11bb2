"""Read limits for the settings: shares, and the limits of the web processes."""

from collections.abc import Callable
from dataclasses import dataclass, fields

from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True)
class Limits:
    """Limits of requests, each set by the environment variable HEADSHOTS_<NAME OF THE LIMIT>.

    They apply to all processes together, except where a comment says "per process"."""

    # Per process: requests processed at the same time, each with a database connection.
    web_threads: int = 16
    # How long a request waits for a thread, and for memory for its body.
    web_queue_timeout_seconds: int = 10
    # Per process: open connections, in total and from one address. Behind proxies of the operator, the second limit
    # applies to the requests in progress from one forwarded address.
    max_connections: int = 1000
    max_connections_per_address: int = 100
    # How long the head of a request may take, from the start of the connection or from its first byte.
    header_timeout_seconds: int = 10
    # Minimum average rate of a body after the grace period. A pause longer than the grace period is refused as well.
    min_body_bytes_per_second: int = 50_000
    body_grace_seconds: int = 20
    body_timeout_seconds: int = 600
    # All bodies in memory at the same time, including those of requests in progress.
    body_budget_bytes: int = 512 * 1024 * 1024
    # Event streams: per account, and in total.
    max_streams_per_account: int = 6
    max_streams: int = 500
    # Uploaded photos decoded at the same time, and pictures verified at the same time. Each takes a process of up to
    # 1.5 GB.
    max_concurrent_decodes: int = 2
    max_concurrent_verifications: int = 2


def read_limits(read_int: Callable[[str, int], int]) -> Limits:
    """Return the limits that the environment sets.

    read_int: reads one environment variable, given its name and default."""
    usual = Limits()
    names = [field.name for field in fields(Limits)]
    return Limits(**{name: read_int(f"HEADSHOTS_{name.upper()}", getattr(usual, name)) for name in names})


def read_share(name: str, text: str) -> float:
    """Convert the text of the variable `name` to a share, 0.01 to 1. Raises ImproperlyConfigured."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.01 <= share <= 1:
        raise ImproperlyConfigured(f"{name} must be a number from 0.01 to 1.")
    return share
