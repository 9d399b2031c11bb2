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
# Readers that hold the log longer than this are left alone; the next purge tries again.
WAIT_MS = 1000


def keeps_deleted_rows() -> bool:
    """Return whether deleted rows stay readable in the database's files for a while, as on PostgreSQL."""
    return connection.vendor != "sqlite"


def checkpoint_journals() -> bool:
    """Have the key server's journal rewritten and empty SQLite's. Returns True if the database's journal is empty.

    Called after purges. The hourly sweep tries a key server again that does not answer."""
    try:
        vault.delete_key_history(ring=Ring.RESULT)
    except VaultUnavailable as error:
        log.warning("the key server's journal was not written anew: %s", type(error).__name__)
    return checkpoint_wal()


def checkpoint_wal() -> bool:
    """Empty SQLite's write-ahead log; whether nothing is left in it. False on PostgreSQL: deleted rows stay readable
    there until the server has recycled its log (docs/privacy.md)."""
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


# Apps whose rows name a person: ours, and allauth's two.
_APPS = ("accounts", "account", "mfa")
# VACUUM FULL needs the table for itself. While it waits for its lock, all other queries wait behind it.
_LOCK_TIMEOUT = "500ms"
# A transaction that is open since before a deletion still sees the row, which is then kept.
_TIMEOUT_SECONDS = 5.0


def account_tables() -> list[str]:
    """Name every table of accounts, sign-ins, addresses and second factors."""
    models = [model for label in _APPS for model in apps.get_app_config(label).get_models(include_auto_created=True)]
    return [model._meta.db_table for model in models]


def rewrite_account_tables() -> list[str]:
    """Rewrite those tables in which rows were changed or deleted since the last time; the names of those that could
    not be, which the next call tries again. Does nothing on another database. Not within a transaction."""
    if connection.vendor != "postgresql":
        return []
    # Counted before: what is deleted meanwhile makes a difference the next time. Where the cache or the server has lost
    # its numbers, a table is written once too often.
    changes, now = _changes()
    due = [table for table in account_tables() if changes[table] != cache.get(f"rewritten:{table}")]
    may_rewrite = bool(due) and _are_older_transactions_over(now)
    done = [table for table in due if may_rewrite and _rewrite(table)]
    cache.set_many({f"rewritten:{table}": changes[table] for table in done}, timeout=None)
    left = [table for table in due if table not in done]
    if left:
        log.warning("deleted rows may still be readable in %s: in use, to be tried again", ", ".join(left))
    return left


def _changes() -> tuple[dict[str, int], datetime]:
    """Count for each table the rows that were ever updated or deleted, and say when they were counted."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, n_tup_upd + n_tup_del, clock_timestamp() FROM pg_stat_user_tables")
        found = cursor.fetchall()
    return {name: changes for name, changes, _ in found}, found[0][2]


def _rewrite(table: str) -> bool:
    """Write one table and its indexes into new files; False while it is in use."""
    before = _file_of(table)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [_LOCK_TIMEOUT])
        try:
            cursor.execute(f"VACUUM FULL {connection.ops.quote_name(table)}")
        except OperationalError:
            return False
        finally:
            cursor.execute("RESET lock_timeout")
    # A role that does not own the table gets a warning, and the table is left as it is.
    return _file_of(table) != before


def _file_of(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_filenode(%s::regclass)", [table])
        (number,) = cursor.fetchone()
    return int(number)


def _are_older_transactions_over(since: datetime) -> bool:
    """Wait a little for what was begun before; whether all of it has ended."""
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
