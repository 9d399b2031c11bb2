"""SQLite keeps copies of pages in its write-ahead log: what was deleted from the file lies there until it is emptied.

(`secure_delete`, which blanks deleted rows in the file itself, is set for every connection.)
"""

from django.db import connection

# Readers that hold the log longer than this are left alone; the next purge tries again.
WAIT_MS = 1000


def truncate_journal() -> bool:
    """Empty the write-ahead log; whether nothing is left in it. True at once on another database."""
    if connection.vendor != "sqlite":
        return True
    if connection.in_atomic_block:
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
