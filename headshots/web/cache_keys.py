"""Hash cache keys, because allauth's contain IP addresses and the broker may write them to disk."""

from django.utils.crypto import salted_hmac


def hashed_key(key: str, prefix: str, version: int) -> str:
    """Return the name under which an entry is stored: no guess of what it is about can be checked without our key.

    Named as KEY_FUNCTION in CACHES."""
    return f"{prefix}:{version}:{salted_hmac('headshots.cache', key, algorithm='sha256').hexdigest()}"
