"""`evaluate`: draw contact sheets of a folder, or compare the results of groups of people.

The comparison of groups covers everything from face detection to the skin tone of their headshots.
"""

import argparse
import csv
import io
import math
from dataclasses import asdict
from pathlib import Path

from pipeline.commands import (
    DONE,
    CommandFailed,
    contact_sheets,
    echo,
    open_weights,
    print_json,
    progress_bar,
    read_photo,
    write_atomically,
)
from pipeline.commands.inputs import read_table
from pipeline.commands.make import SIZES, Models, choose_styles, load_models, make_folder
from pipeline.engines import EngineName
from pipeline.errors import FaceNotFound, PhotoRefused
from pipeline.photos.check import check_photo
from pipeline.photos.intake import clean_photo, load_pixels
from pipeline.quality.drawn import is_drawn
from pipeline.quality.fairness import GateOutcome, GroupFigures, LabeledPhoto, Share, Spread, summarize
from pipeline.quality.fairness_chart import draw_chart
from pipeline.quality.gate import build_gate_reference, judge_picture
from pipeline.styles.shot_list import plan_shots
from pipeline.types import Job, Shot, SourcePhoto, Status, ignore_progress

COLUMNS = ("file", "group")
STYLES = ("corporate", "bw")
SIZE = SIZES["preview", "4:5"]


def run(arguments: argparse.Namespace) -> int:
    """Draw contact sheets, or evaluate all labeled photos and print the figures of each group.

    Makes headshots of each photo. With --out, also writes the figures of the groups as a table and a chart."""
    if arguments.sheet:
        return contact_sheets.run(arguments)
    rows = read_labels(arguments.groups)
    styles = choose_styles(arguments.style or STYLES)
    shots = plan_shots(styles, len(styles), seed=0)
    folder = make_folder(arguments.out) if arguments.out else None
    subjects = []
    with progress_bar("Photos", total=len(rows), unit="photos") as bar:
        engine: EngineName = arguments.engine
        models = load_models(engine, open_weights(arguments))
        for row in rows:
            subjects.append(evaluate_photo(row, arguments.folder / row["file"], models, shots))
            bar.update()
    groups = summarize(subjects)
    if folder:
        picture = io.BytesIO()
        draw_chart(groups).save(picture, "PNG")
        write_atomically(folder / "evaluation.png", picture.getvalue())
        write_atomically(folder / "evaluation.csv", to_csv(groups).encode())
    if arguments.json:
        print_json([_plain(figures) for figures in groups])
    else:
        print("\n".join(lines_of(groups)))
    if folder:
        echo(f"Written: {folder / 'evaluation.csv'}, {folder / 'evaluation.png'}")
    return DONE


def read_labels(path: Path) -> list[dict[str, str]]:
    """Read the labels, one row per photo: file, group, and optionally the person and the index of the face.

    Raises CommandFailed."""
    rows = read_table(path, COLUMNS)
    for number, row in enumerate(rows, 2):
        if not (row.get("face") or "0").isdecimal():
            raise CommandFailed(f"{path}, line {number}: face must be a number from 0, as printed by `check`")
    return rows


def evaluate_photo(row: dict[str, str], path: Path, models: Models, shots: tuple[Shot, ...]) -> LabeledPhoto:
    """Check one photo, make its headshots and judge them.

    Raises CommandFailed if the file or the face does not exist."""
    group, person = row["group"], row.get("person") or None
    try:
        pixels = load_pixels(clean_photo(read_photo(path)).data)
        check = check_photo(pixels, models.finder, int(row["face"]) if row.get("face") else None)
    except PhotoRefused:
        return LabeledPhoto(group, person, Status.REFUSED, found=False)
    except FaceNotFound as error:
        raise CommandFailed(f"{path}: {error}") from error
    if not check.faces:
        return LabeledPhoto(group, person, check.verdict.status, found=False)
    chosen = check.verdict.face or 0
    face = check.faces[chosen]
    photo = SourcePhoto(pixels, face, tuple(each for index, each in enumerate(check.faces) if index != chosen))
    outcomes: list[GateOutcome] = []
    if check.verdict.status in (Status.ACCEPTED, Status.WARNED):
        gate_reference = build_gate_reference([photo], models.embedder)
        subject = models.engine.prepare([photo], SIZE)
        jobs = [Job(subject, shot) for shot in shots]
        for picture in models.engine.render(jobs, SIZE, ignore_progress):
            found = judge_picture(
                picture.pixels,
                gate_reference,
                models.finder,
                models.embedder,
                monochrome=picture.job.shot.style.monochrome,
                drawn=is_drawn(picture.digital_source),
            )
            outcomes.append(GateOutcome(found.accepted, found.likeness.distance, found.drift))
    embedding = models.embedder.embed(pixels, face)
    return LabeledPhoto(group, person, check.verdict.status, True, embedding, tuple(outcomes))


def lines_of(groups: list[GroupFigures]) -> list[str]:
    """Return the table as lines of text."""
    lines = [
        f"{'group':18} {'photos':>6} {'found':>17} {'accepted':>17} {'warned':>17} {'refused':>17} {'choose':>6}",
        *(
            f"{g.group[:18]:18} {g.photos:6} {_share(g.found):>17} {_share(g.accepted):>17} {_share(g.warned):>17} "
            f"{_share(g.refused):>17} {g.choose_face.count:6}"
            for g in groups
        ),
        "",
        f"{'group':18} {'headshots passed':>17} {'distance':>20} {'lightness':>20} {'hue':>20}",
        *(
            f"{g.group[:18]:18} {_share(g.kept):>17} {_spread(g.distance, 2):>20} {_spread(g.lightness, 1):>20} "
            f"{_spread(g.hue, 1):>20}"
            for g in groups
        ),
        "",
        f"{'group':18} {'false non-match':>24} {'false match':>24}",
        *(f"{g.group[:18]:18} {_pairs(g.missed):>24} {_pairs(g.mistaken):>24}" for g in groups),
    ]
    return lines


def to_csv(groups: list[GroupFigures]) -> str:
    """Return the figures as CSV, with one row per group.

    A share is written as count and total. A spread is written as middle, low and high."""
    flat = [
        {name + part: number for name, value in asdict(figures).items() for part, number in _parts(value)}
        for figures in groups
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _parts(value: object) -> list[tuple[str, object]]:
    return [(f"_{part}", number) for part, number in value.items()] if isinstance(value, dict) else [("", value)]


def _plain(figures: GroupFigures) -> dict[str, object]:
    """Return the figures as values that can be written as JSON, with None instead of NaN."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {name: plain(each) for name, each in value.items()}
        return None if isinstance(value, float) and math.isnan(value) else value

    return {name: plain(value) for name, value in asdict(figures).items()}


def _share(of: Share) -> str:
    low, high = of.interval
    return f"{of.value:.0%} ({low:.0%}-{high:.0%})" if of.of else "no data"


def _pairs(of: Share) -> str:
    return f"{_share(of)} of {of.of}" if of.of else "no data"


def _spread(of: Spread, digits: int) -> str:
    if math.isnan(of.middle):
        return "no data"
    return f"{of.middle:.{digits}f} ({of.low:.{digits}f} to {of.high:.{digits}f})"
