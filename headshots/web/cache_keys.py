"""Hash cache keys, because allauth's keys contain IP addresses and the server may write them to disk."""

from django.utils.crypto import salted_hmac


def hashed_key(key: str, prefix: str, version: int) -> str:
    """Return the name of a cache entry, hashed with our secret key.

    Without the secret key, a guess of the original key cannot be verified. KEY_FUNCTION in CACHES names this function.
    """
    return f"{prefix}:{version}:{salted_hmac('headshots.cache', key, algorithm='sha256').hexdigest()}"
