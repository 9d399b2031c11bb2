"""What tests with their own transactions leave: empty tables, but for the rows that the migrations made."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def ledger_may_be_emptied() -> Iterator[None]:
    """Empty the tables after tests with their own transactions, in spite of the ledger's triggers.

    The table with the installation's id, which a migration fills, keeps its row."""
    from importlib import import_module

    from django.db.backends.sqlite3.operations import DatabaseOperations

    triggers = import_module("headshots.payments.migrations.0002_ledger_triggers")
    sql_flush = DatabaseOperations.sql_flush

    def flush_with_ledger(self: DatabaseOperations, style: object, tables: list[str], **options: object) -> list[str]:
        emptied = [table for table in tables if table != "vault_installation"]
        return [*triggers.DROP["sqlite"], *sql_flush(self, style, emptied, **options), *triggers.CREATE["sqlite"]]

    patch = pytest.MonkeyPatch()
    patch.setattr(DatabaseOperations, "sql_flush", flush_with_ledger)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def permissions_are_copied() -> Iterator[None]:
    """Django makes all permissions and we make the roles again whenever the tables were emptied, with hundreds of
    queries. Each time but the first the same rows are put back."""
    from django.core.management.commands import flush

    emit = flush.emit_post_migrate_signal
    made: dict[str, list[tuple[Any, ...]]] = {}

    def insert_again(verbosity: int, interactive: bool, db: str, **options: object) -> None:
        from django.db import connections, transaction

        connection = connections[db]
        with transaction.atomic(using=db), connection.cursor() as cursor:
            if not made:
                emit(verbosity, interactive, db, **options)
                for table in connection.introspection.django_table_names(only_existing=True, include_views=False):
                    cursor.execute(f"SELECT * FROM {table}")  # noqa: S608 - a name from Django
                    if table != "vault_installation" and (rows := cursor.fetchall()):
                        made[table] = rows
                return
            for table, rows in made.items():
                places = ", ".join(["%s"] * len(rows[0]))
                cursor.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608 - a name from Django

    patch = pytest.MonkeyPatch()
    patch.setattr(flush, "emit_post_migrate_signal", insert_again)
    yield
    patch.undo()
