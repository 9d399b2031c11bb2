"""The same figures once more, slowly: plain SQL, plain loops, nothing of the dashboard's code.

Wherever a row still knows the answer the row is asked, not the event.
"""

import json
from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

from django.db import connection


def read(sql: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def moment(value: object) -> datetime:
    """SQLite hands times out as text."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def words(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def slow_figures(first: date, last: date) -> Counter[str]:
    """What happened on these days (UTC), under the dashboard's keys."""
    counts: Counter[str] = Counter()

    def inside(at: object) -> bool:
        return at is not None and first <= moment(at).date() <= last

    packs = {str(row["id"]): row for row in read("select * from shoots_pack") if row["kind"] != "trial"}
    events = read("select name, at, pack_id, codes, numbers from shoots_event")
    shoots = read("select created_at from shoots_shoot")
    counts["uploads"] = sum(inside(row["created_at"]) for row in shoots)
    ended: dict[str, object] = {}
    for event in events:
        pack = packs.get(str(event["pack_id"]))
        if event["name"] in ("pack.delivered", "pack.failed", "pack.cancelled", "pack.revoked"):
            ended[str(event["pack_id"])] = event["at"]
        if not inside(event["at"]):
            continue
        codes, numbers = words(event["codes"]), words(event["numbers"])
        if event["name"] == "shoot.opened":
            counts["photos"] += numbers["photos"]
        elif event["name"] == "photo.refused":
            counts["refused"] += 1
            for reason in codes["reasons"]:
                counts[f"refused|{reason}"] += 1
        elif event["name"] == "photo.choose_face":
            counts["asked_for_face"] += 1
        elif event["name"] in ("pack.failed", "pack.cancelled", "pack.revoked") and pack:
            state = event["name"].split(".")[1]
            counts[f"{state}|{pack['kind']}"] += 1
            if pack["reason"]:
                counts[f"{state}_because|{pack['reason']}"] += 1
        elif event["name"] == "pack.shot" and pack:
            who = f"{pack['engine']}|{codes['worker']}"
            counts[f"work_ms|{who}"] += round(1000 * numbers["seconds"])
        elif event["name"] == "pack.gated" and pack:
            # The row knows how often; only the event knows why.
            counts["reshot"] += pack["reshoots"]
            counts["generated"] += numbers["generated"]
            counts["accepted"] += numbers["accepted"]
            counts["replaced"] += numbers["replaced"]
            for key, number in numbers.items():
                if key.startswith("rejected_"):
                    counts[f"rejected|{key[9:]}"] += number
    for pack in packs.values():
        if inside(pack["queued_at"]):
            counts[f"ordered|{pack['kind']}"] += 1
        if inside(pack["delivered_at"]):
            seconds = round((moment(pack["delivered_at"]) - moment(pack["queued_at"])).total_seconds())
            counts[f"delivered|{pack['kind']}"] += 1
            counts[f"delivery|{pack['kind']}|{seconds}"] += 1
    for row in read("select pack_id, lease_holder, likeness from shoots_headshot where state = 'done'"):
        pack = packs.get(str(row["pack_id"]))
        if pack and inside(ended.get(str(pack["id"]))):
            counts[f"pictures|{pack['engine']}|{row['lease_holder']}"] += 1
            counts[f"likeness|{round(100 * row['likeness']) // 5 * 5}"] += 1
    for entry in read("select * from payments_ledgerentry"):
        if inside(entry["at"]):
            key = f"{entry['mode']}|{entry['currency']}|{entry['kind']}"
            counts[f"movements|{key}"] += 1
            counts[f"money|{key}"] += entry["amount"]
    return counts


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
