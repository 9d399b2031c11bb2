"""`calibrate`: fit the probability that two faces are one person to labeled pairs."""

import argparse
import hashlib
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from pipeline.commands import DONE, CommandFailed, echo, open_weights, print_json, progress_bar, write_atomically
from pipeline.commands.inputs import EmbeddedFaces, read_table
from pipeline.identity.calibration import Calibration, CalibrationReport, Interval, NotEnoughPairs, Pairs, calibrate
from pipeline.identity.likeness import ACCEPT_DISTANCE, SAME_PERSON_DISTANCE

COLUMNS = ("one", "other", "same")
YES, NO = {"1", "yes", "true"}, {"0", "no", "false"}
ENCODER = "dlib_face_recognition_resnet_model_v1"


def run(arguments: argparse.Namespace) -> int:
    """Fit the constants to the pairs, print a report, and write the constants to --out."""
    rows = read_rows(arguments.pairs)
    distances = read_distances(rows) if "distance" in rows[0] else measure_distances(arguments, rows)
    kept = [index for index, distance in enumerate(distances) if distance is not None]
    if skipped := len(rows) - len(kept):
        echo(f"Skipped {skipped} of {len(rows)} pairs, because one of their photos does not show exactly one face.")
    try:
        pairs = make_pairs([rows[index] for index in kept], [distances[index] or 0.0 for index in kept])
        report = calibrate(pairs, (ACCEPT_DISTANCE, SAME_PERSON_DISTANCE))
    except NotEnoughPairs as error:
        raise CommandFailed(f"{arguments.pairs}: {error}") from error
    provenance = {
        "source": arguments.source or arguments.pairs.name,
        "encoder": ENCODER,
        "pairs_sha256": hashlib.sha256(arguments.pairs.read_bytes()).hexdigest(),
        **report.calibration.provenance,
        "slope_95": [round(report.slope.low, 2), round(report.slope.high, 2)],
        "brier": round(report.brier.value, 5),
        "brier_95": [round(report.brier.low, 5), round(report.brier.high, 5)],
    }
    calibration = replace(report.calibration, provenance=provenance)
    if arguments.json:
        print_json(describe(report))
    else:
        print("\n".join(lines_of(report)))
    if arguments.out:
        write_atomically(arguments.out, to_toml(calibration).encode())
        echo(f"Written: {arguments.out}")
    return DONE


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the pairs of the file.

    Raises CommandFailed for a file without pairs, a missing column or an invalid answer."""
    rows = read_table(path, COLUMNS)
    for number, row in enumerate(rows, 2):
        if row["same"].lower() not in YES | NO:
            raise CommandFailed(f"{path}, line {number}: same must be 1 or 0")
    return rows


def read_distances(rows: list[dict[str, str]]) -> list[float | None]:
    try:
        found = [float(row["distance"]) for row in rows]
    except (TypeError, ValueError) as error:
        raise CommandFailed(f"a distance is not a number: {error}") from error
    if not all(0 <= distance < 10 for distance in found):
        raise CommandFailed("distances must be between 0 and 10; those of two people are about 0.9")
    return list(found)


def measure_distances(arguments: argparse.Namespace, rows: list[dict[str, str]]) -> list[float | None]:
    """Return the distance of each pair of photos, or None if a photo does not show exactly one face.

    Photos are named relative to the file of pairs."""
    folder = arguments.pairs.parent
    names = sorted({row[side] for row in rows for side in ("one", "other")})
    faces = EmbeddedFaces(open_weights(arguments))
    with progress_bar("Faces", total=len(names), unit="photos") as bar:
        embeddings = {}
        for name in names:
            embeddings[name] = faces.only_face(folder / name)
            bar.update()
    distances: list[float | None] = []
    for row in rows:
        one, other = embeddings[row["one"]], embeddings[row["other"]]
        distances.append(None if one is None or other is None else float(np.linalg.norm(one - other)))
    return distances


def make_pairs(rows: list[dict[str, str]], distances: list[float]) -> Pairs:
    """Return the pairs with a number for each person.

    Photos that are `same`, directly or through other photos, show one person. Raises CommandFailed on contradictions,
    NotEnoughPairs without a pair."""
    if not rows:
        raise NotEnoughPairs("no usable pairs")
    person_of = gather_people((row["one"], row["other"], row["same"].lower() in YES) for row in rows)
    numbers = {person: number for number, person in enumerate(sorted(set(person_of.values())))}
    people = [[numbers[person_of[row["one"]]], numbers[person_of[row["other"]]]] for row in rows]
    same = np.array([row["same"].lower() in YES for row in rows])
    for row, (one, other), alike in zip(rows, people, same, strict=True):
        if (one == other) != alike:
            contradiction = "labeled as different people, but other rows label them as one person"
            raise CommandFailed(f"{row['one']} and {row['other']} are {contradiction}")
    return Pairs(np.array(distances), same, np.array(people, np.int64))


def gather_people(pairs: Iterable[tuple[str, str, bool]]) -> dict[str, str]:
    """Return for each photo the name of the person in it, which is the name of that person's first photo."""
    leader: dict[str, str] = {}

    def lead(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for one, other, same in pairs:
        first, second = sorted((lead(one), lead(other)))
        if same:
            leader[second] = first
    return {name: lead(name) for name in leader}


def describe(report: CalibrationReport) -> dict[str, object]:
    """Return the report as plain values for JSON."""

    def interval(of: Interval) -> dict[str, float]:
        return {"value": round(of.value, 5), "low": round(of.low, 5), "high": round(of.high, 5)}

    found = report.calibration
    return {
        "offset": round(found.offset, 4),
        "slope": interval(report.slope),
        "cap": found.cap,
        **found.provenance,
        "brier": interval(report.brier),
        "reliability": [{name: round(value, 4) for name, value in asdict(row).items()} for row in report.bins],
        "false_matches": {str(at): interval(rate) for at, rate in report.false_matches.items()},
        "false_refusals": {str(at): interval(rate) for at, rate in report.false_refusals.items()},
    }


def lines_of(report: CalibrationReport) -> list[str]:
    """Return the report as lines of text."""
    found, facts = report.calibration, report.calibration.provenance
    lines = [
        f"{facts['same_pairs']} pairs of the same person, {facts['different_pairs']} of different people, "
        f"{facts['people']} people",
        f"probability = 1 / (1 + exp({found.slope:.2f} d - {found.offset:.2f})), at most {found.cap:.0%}",
        f"slope {report.slope.low:.1f} to {report.slope.high:.1f}, Brier score {report.brier.value:.4f} "
        f"({report.brier.low:.4f} to {report.brier.high:.4f}); ranges are 95% bootstrap intervals",
        "",
        f"{'range':10} {'pairs':>6}  {'predicted':>9}  {'observed':>9}",
        *(f"{b.low:3.0%} - {b.high:4.0%} {b.pairs:6}  {b.predicted:9.1%}  {b.observed:9.1%}" for b in report.bins),
        "",
        f"{'distance':8}  {'false match':22}  false non-match",
    ]
    for at, wrong in report.false_matches.items():
        missed = report.false_refusals[at]
        lines.append(f"{at:8}  {_percent(wrong):22}  {_percent(missed)}")
    return lines


def _percent(rate: Interval) -> str:
    return f"{rate.value:.2%} ({rate.low:.2%} - {rate.high:.2%})"


def to_toml(calibration: Calibration) -> str:
    """Return the constants as text for `load_calibration`."""

    def value(of: str | int | float | list[float]) -> str:
        return '"' + of.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(of, str) else repr(of)

    return "\n".join(
        [
            "# Written by `python -m pipeline calibrate`: P(one person) = 1 / (1 + exp(slope * distance - offset)).",
            f"offset = {round(calibration.offset, 3)}",
            f"slope = {round(calibration.slope, 3)}",
            f"cap = {calibration.cap}",
            "",
            "[provenance]",
            *(f"{name} = {value(of)}" for name, of in calibration.provenance.items()),
            "",
        ]
    )
