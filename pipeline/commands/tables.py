"""CSV files that commands are given."""

import csv
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import CommandFailed


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of the file, each with a value in these columns. Raises CommandFailed with the line where one fails."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandFailed(f"{path}: {error}") from error
    if not rows:
        raise CommandFailed(f"{path}: no rows in it; the first line must name the columns {', '.join(columns)}")
    if missing := [name for name in columns if name not in rows[0]]:
        raise CommandFailed(f"{path}: the first line must name the columns {', '.join(columns)}; missing: {missing[0]}")
    for number, row in enumerate(rows, 2):
        if empty := [name for name in columns if not row[name]]:
            raise CommandFailed(f"{path}, line {number}: nothing in the column {empty[0]}")
    return rows
