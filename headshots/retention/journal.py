"""Journals still hold what was deleted: SQLite's write-ahead log pages, that of a key server destroyed keys.

(`secure_delete`, which blanks deleted rows and dropped columns in SQLite's file itself, is set for every connection.)
PostgreSQL's log cannot be emptied from here: its server writes over old parts of it, or removes them, when it likes.
"""

import logging

from django.db import connection

from headshots.vault import services as vault
from headshots.vault.errors import VaultUnavailable
from headshots.vault.models import Ring

log = logging.getLogger(__name__)

# Readers that hold the log longer than this are left alone; the next purge tries again.
WAIT_MS = 1000


def keeps_deleted_rows() -> bool:
    """Return whether deleted rows stay readable in the database's files for a while, as on PostgreSQL."""
    return connection.vendor != "sqlite"


def empty_journals() -> bool:
    """Empty both, after a purge that may have destroyed keys of headshots; whether nothing is left in the database's.

    A key server that does not answer is asked again by the hourly sweep."""
    try:
        vault.forget_removed_keys(ring=Ring.RESULT)
    except VaultUnavailable as error:
        log.warning("the key server's journal was not written anew: %s", type(error).__name__)
    return truncate_journal()


def truncate_journal() -> bool:
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
