"""Live updates: notify open pages of a shoot that its state changed.

Messages can be lost, so pages read the state from the database."""

import logging
from functools import cache

import redis
from django.conf import settings

log = logging.getLogger(__name__)


def channel(shoot_id: object) -> str:
    """Return the name of the pub/sub channel of a shoot."""
    return f"shoot:{shoot_id}"


def nudge(shoot_id: object) -> None:
    """Notify open pages of this shoot, so that they fetch its state again."""
    try:
        _client().publish(channel(shoot_id), "changed")
    except redis.RedisError as error:
        # The page also polls, so it shows the change a little later.
        log.warning("live channel away: %s", type(error).__name__)


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.HEADSHOTS_REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
