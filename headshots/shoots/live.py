"""The live channel: tell open pages of a shoot to reload. Messages may be lost; the database has the facts."""

import logging
from functools import cache

import redis
from django.conf import settings

log = logging.getLogger(__name__)


def channel(shoot_id: object) -> str:
    """Return the name of the pub/sub channel of a shoot."""
    return f"shoot:{shoot_id}"


def nudge(shoot_id: object) -> None:
    """Tell open pages of this shoot to fetch its state again."""
    try:
        _client().publish(channel(shoot_id), "changed")
    except redis.RedisError as error:
        # The page also polls, so it shows the change a little later.
        log.warning("live channel unavailable: %s", type(error).__name__)


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.HEADSHOTS_REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
