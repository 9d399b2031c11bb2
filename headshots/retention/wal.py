"""Remove deleted rows from the database's own files.

SQLite's write-ahead log and a key server's journal are emptied. PostgreSQL's log cannot be emptied from here: the
server overwrites or removes old parts later. Tables of accounts, which hold addresses and are small, are
rewritten there with VACUUM FULL. What remains in freed blocks of the file system is named in docs/privacy.md.
(`secure_delete`, which blanks deleted rows in SQLite's file itself, is set for every connection.)
"""

import logging
import time
from datetime import datetime

from django.apps import apps
from django.core.cache import cache
from django.db import OperationalError, connection

from headshots.vault import services as vault
from headshots.vault.errors import VaultUnavailable
from headshots.vault.models import Ring

log = logging.getLogger(__name__)
# How long to wait for readers of the log. If readers take longer, the next purge tries again.
WAIT_MS = 1000


def keeps_deleted_rows() -> bool:
    """Return True if deleted rows stay readable in the database's files for a while, as on PostgreSQL."""
    return connection.vendor != "sqlite"


def checkpoint_journals() -> bool:
    """Start a rewrite of the key server's journal, and empty SQLite's write-ahead log.

    Call this after purges. Returns True if the database's log is empty.
    If the key server does not answer, logs a warning. The hourly sweep tries again."""
    try:
        vault.delete_key_history(ring=Ring.RESULT)
    except VaultUnavailable as error:
        log.warning("the key server's journal was not rewritten: %s", type(error).__name__)
    return checkpoint_wal()


def checkpoint_wal() -> bool:
    """Empty SQLite's write-ahead log. Returns True if the log is empty.

    Returns False within a transaction, while readers use the log, and on PostgreSQL. PostgreSQL keeps deleted rows
    readable until the server has recycled its log (docs/privacy.md)."""
    if keeps_deleted_rows() or connection.in_atomic_block:
        return False
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (usual_ms,) = cursor.fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {WAIT_MS}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (busy, *_) = cursor.fetchone()
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {int(usual_ms)}")
    return not busy


# Apps whose rows identify a person: our own, and two of allauth.
_APPS = ("accounts", "account", "mfa")
# VACUUM FULL locks the table exclusively. While VACUUM waits for the lock, all other queries wait behind it.
_LOCK_TIMEOUT = "500ms"
# VACUUM FULL keeps a deleted row while an older transaction can still see it. Wait this long for such transactions.
_TIMEOUT_SECONDS = 5.0


def account_tables() -> list[str]:
    """Return the names of all tables of accounts, sign-ins, addresses and second factors."""
    models = [model for label in _APPS for model in apps.get_app_config(label).get_models(include_auto_created=True)]
    return [model._meta.db_table for model in models]


def rewrite_account_tables() -> list[str]:
    """Rewrite the account tables in which rows were changed or deleted since the last rewrite.

    Returns the names of tables that could not be rewritten. The next call tries these tables again.
    Does nothing on databases other than PostgreSQL. Must not be called within a transaction."""
    if connection.vendor != "postgresql":
        return []
    # Count the changes before the rewrite, so that the next call notices rows deleted during the rewrite. If the cache
    # or the server loses its counts, a table is rewritten once more than needed.
    changes, now = _changes()
    due = [table for table in account_tables() if changes[table] != cache.get(f"rewritten:{table}")]
    may_rewrite = bool(due) and _are_older_transactions_over(now)
    done = [table for table in due if may_rewrite and _rewrite(table)]
    cache.set_many({f"rewritten:{table}": changes[table] for table in done}, timeout=None)
    left = [table for table in due if table not in done]
    if left:
        log.warning("deleted rows may still be readable in %s (in use, will be retried)", ", ".join(left))
    return left


def _changes() -> tuple[dict[str, int], datetime]:
    """Return the number of updated and deleted rows of each table, and the server's time of counting."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, n_tup_upd + n_tup_del, clock_timestamp() FROM pg_stat_user_tables")
        found = cursor.fetchall()
    return {name: changes for name, changes, _ in found}, found[0][2]


def _rewrite(table: str) -> bool:
    """Rewrite one table and its indexes into new files. Returns False if the table is in use or not owned by us."""
    before = _file_of(table)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [_LOCK_TIMEOUT])
        try:
            cursor.execute(f"VACUUM FULL {connection.ops.quote_name(table)}")
        except OperationalError:
            return False
        finally:
            cursor.execute("RESET lock_timeout")
    # If the role does not own the table, the server only warns and leaves the table unchanged.
    return _file_of(table) != before


def _file_of(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_filenode(%s::regclass)", [table])
        (number,) = cursor.fetchone()
    return int(number)


def _are_older_transactions_over(since: datetime) -> bool:
    """Wait up to 5 seconds for transactions that began before `since`. Returns True if all of them have ended."""
    give_up = time.monotonic() + _TIMEOUT_SECONDS
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start < %s"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
                [since],
            )
            (count,) = cursor.fetchone()
        if not count or time.monotonic() > give_up:
            return not count
        time.sleep(0.1)
