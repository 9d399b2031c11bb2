"""The rows of a generated year once more and more, by the database itself: two million of them in a minute.

A copy has ids of its own, happened a minute earlier, and took a second longer from order to delivery, so that days and
medians have as many different values as real ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection, models, transaction

from headshots.payments.models import LedgerEntry
from headshots.shoots.models import Consent, Event, Headshot, Pack, Photo, Shoot
from headshots.vault.models import Blob

EARLIER_SECONDS, LONGER_SECONDS = 61, 1
# In the order in which they depend on each other.
MODELS: tuple[type[models.Model], ...] = (Shoot, Consent, Blob, Photo, Pack, Headshot, Event, LedgerEntry)


@dataclass(frozen=True)
class Dialect:
    """SQL over a column and `k`, the number of the copy. `other_id` needs ids whose last two digits are zeros."""

    other_id: Callable[[str], str]
    earlier: Callable[[str, str], str]
    longer: str


DIALECTS = {
    "sqlite": Dialect(
        other_id=lambda column: f"substr({column}, 1, 30) || printf('%02x', k)",
        earlier=lambda column, by: f"strftime('%Y-%m-%d %H:%M:%f', {column}, '-' || ({by}) || ' seconds')",
        longer=f"json_set(numbers, '$.seconds', json_extract(numbers, '$.seconds') + {LONGER_SECONDS} * k)",
    ),
    "postgresql": Dialect(
        other_id=lambda column: f"(left(replace({column}::text, '-', ''), 30) || lpad(to_hex(k), 2, '0'))::uuid",
        earlier=lambda column, by: f"{column} - ({by}) * interval '1 second'",
        longer=f"jsonb_set(numbers, '{{seconds}}', to_jsonb((numbers->>'seconds')::int + {LONGER_SECONDS} * k))",
    ),
}


def multiply(times: int) -> None:
    """Each row `times` times in all. 255 at most."""
    numbers = " UNION ALL ".join(f"SELECT {number} AS k" for number in range(1, times))
    with transaction.atomic(), connection.cursor() as cursor:
        for model in MODELS if times > 1 else ():
            table = connection.ops.quote_name(model._meta.db_table)
            fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
            columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
            values = ", ".join(_value(model, field) for field in fields)
            cursor.execute(
                f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} CROSS JOIN ({numbers}) AS copies"  # noqa: S608
            )


def _value(model: type[models.Model], field: models.Field) -> str:
    dialect, column = DIALECTS[connection.vendor], connection.ops.quote_name(field.column)
    usual, longer = f"{EARLIER_SECONDS} * k", f"{EARLIER_SECONDS + LONGER_SECONDS} * k"
    if isinstance(field.target_field if field.is_relation else field, models.UUIDField):
        return dialect.other_id(column)
    if (model, field.name) == (Event, "at"):
        return dialect.earlier(column, f"CASE WHEN name = 'pack.queued' THEN {longer} ELSE {usual} END")
    if isinstance(field, models.DateTimeField):
        is_order = model is Pack and field.name in ("created_at", "queued_at")
        return dialect.earlier(column, longer if is_order else usual)
    if (model, field.name) == (Event, "numbers"):
        return f"CASE WHEN name = 'pack.delivered' THEN {dialect.longer} ELSE numbers END"
    if (model, field.name) == (LedgerEntry, "stripe_id"):
        return f"{column} || '-' || k"
    return column
