"""Settings of the database and the cache."""

from pathlib import Path


def database_settings(parsed: dict[str, object], data_folder: Path) -> dict[str, object]:
    """Return Django's settings of the database.

    parsed: the parts of the database's URL, by Django's names. data_folder: folder of the tests' database file."""
    # Seconds. Connections persist, because requests run in long-lived threads (headshots.web.handler).
    settings = {"CONN_MAX_AGE": 60, **parsed, "CONN_HEALTH_CHECKS": True}
    if parsed["ENGINE"] == "django.db.backends.sqlite3":
        settings["OPTIONS"] = {
            "timeout": 20,
            # A transaction that begins as a reader and then writes cannot wait for the lock, so most of them would
            # fail.
            "transaction_mode": "IMMEDIATE",
            # Without secure_delete, deleted rows stay readable in the file.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;",
        }
        # A file, as in production. Django's in-memory default fails with "table is locked" when two threads use it.
        settings["TEST"] = {"NAME": data_folder / "test.sqlite3"}
    return settings


def cache_settings(redis_url: str) -> dict[str, object]:
    """Return Django's settings of the cache: on Redis, or in this process if the URL is empty."""
    if not redis_url:
        return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "headshots"}
    return {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": redis_url,
        "KEY_PREFIX": "headshots",
        "KEY_FUNCTION": "headshots.web.cache_keys.hashed_key",
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
    }
