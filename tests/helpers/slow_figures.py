"""The same figures once more, slowly: plain SQL, plain loops, nothing of the dashboard's code.

Wherever a row still knows the answer the row is asked, not the event.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import chain
from typing import Any

from django.db import connection

ENDS = ("pack.delivered", "pack.failed", "pack.canceled", "pack.revoked")


def read(sql: str) -> Iterator[dict[str, Any]]:
    """Row by row: two million of them are too many to hold at once."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql)
        # A server's cursor knows its columns only after the first rows.
        first = cursor.fetchmany(1)
        names = [column[0] for column in cursor.description]
        for row in chain(first, cursor):
            yield dict(zip(names, row, strict=True))


def moment(value: object) -> datetime:
    """SQLite hands times out as text."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def words(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def slow_figures(first: date, last: date) -> Counter[str]:
    """What happened on these days (UTC), under the dashboard's keys."""
    return slow_figures_of([(first, last)])[0]


def slow_figures_of(ranges: Sequence[tuple[date, date]]) -> list[Counter[str]]:
    """The same of several ranges, in one walk over all rows."""
    found: list[Counter[str]] = [Counter() for _ in ranges]

    def ranges_with(at: object) -> list[Counter[str]]:
        if at is None:
            return []
        day = moment(at).date()
        return [counts for (first, last), counts in zip(ranges, found, strict=True) if first <= day <= last]

    packs = {str(row["id"]): row for row in read("select * from shoots_pack where kind <> 'trial'")}
    for shoot in read("select created_at from shoots_shoot"):
        for counts in ranges_with(shoot["created_at"]):
            counts["uploads"] += 1
    ended: dict[str, list[Counter[str]]] = {}
    for event in read("select name, at, pack_id, codes, numbers from shoots_event"):
        inside = ranges_with(event["at"])
        if event["name"] in ENDS:
            ended[str(event["pack_id"])] = inside
        for counts in inside:
            count_event(counts, event, packs.get(str(event["pack_id"])))
    for pack in packs.values():
        for counts in ranges_with(pack["queued_at"]):
            counts[f"ordered|{pack['kind']}"] += 1
        for counts in ranges_with(pack["delivered_at"]):
            seconds = round((moment(pack["delivered_at"]) - moment(pack["queued_at"])).total_seconds())
            counts[f"delivered|{pack['kind']}"] += 1
            counts[f"delivery|{pack['kind']}|{seconds}"] += 1
    for row in read("select pack_id, lease_holder, likeness from shoots_headshot where state = 'done'"):
        for counts in ended.get(str(row["pack_id"]), []):
            if made_for := packs.get(str(row["pack_id"])):
                counts[f"pictures|{made_for['engine']}|{row['lease_holder']}"] += 1
                counts[f"likeness|{round(100 * row['likeness']) // 5 * 5}"] += 1
    for entry in read("select * from payments_ledgerentry"):
        for counts in ranges_with(entry["at"]):
            key = f"{entry['mode']}|{entry['currency']}|{entry['kind']}"
            counts[f"movements|{key}"] += 1
            counts[f"money|{key}"] += entry["amount"]
    return found


def count_event(counts: Counter[str], event: dict[str, Any], pack: dict[str, Any] | None) -> None:
    """Only what no row knows."""
    codes, numbers = words(event["codes"]), words(event["numbers"])
    if event["name"] == "shoot.opened":
        counts["photos"] += numbers["photos"]
    elif event["name"] == "photo.refused":
        counts["refused"] += 1
        for reason in codes["reasons"]:
            counts[f"refused|{reason}"] += 1
    elif event["name"] == "photo.choose_face":
        counts["asked_for_face"] += 1
    elif event["name"] in ("pack.failed", "pack.canceled", "pack.revoked") and pack:
        state = event["name"].split(".")[1]
        counts[f"{state}|{pack['kind']}"] += 1
        if pack["reason"]:
            counts[f"{state}_because|{pack['reason']}"] += 1
    elif event["name"] == "pack.shot" and pack:
        counts[f"work_ms|{pack['engine']}|{codes['worker']}"] += round(1000 * numbers["seconds"])
    elif event["name"] == "pack.gated" and pack:
        # The row knows how often; only the event knows why.
        counts["reshot"] += pack["reshoots"]
        for name in ("generated", "accepted", "replaced"):
            counts[name] += numbers[name]
        for key, number in numbers.items():
            if key.startswith("rejected_"):
                counts[f"rejected|{key[9:]}"] += number


def median_and_95(counts: Counter[str], kind: str) -> tuple[int | None, int | None]:
    """From every single delivery, sorted."""
    seconds = sorted(
        int(key.rsplit("|", 1)[1])
        for key, packs in counts.items()
        if key.startswith(f"delivery|{kind}|")
        for _ in range(packs)
    )
    if not seconds:
        return None, None
    return seconds[-(-len(seconds) // 2) - 1], seconds[-(-len(seconds) * 95 // 100) - 1]
