"""Where the queues live."""

from django.core.exceptions import ImproperlyConfigured


def broker_url(redis_url: str) -> str:
    """The same server in the broker's spelling; `memory://` when there is none."""
    if redis_url and not redis_url.startswith(("unix://", "redis://", "rediss://")):
        raise ImproperlyConfigured("HEADSHOTS_REDIS_URL must begin with redis://, rediss:// or unix://.")
    if redis_url.startswith("unix://"):
        return "redis+socket://" + redis_url.removeprefix("unix://")
    return redis_url or "memory://"
