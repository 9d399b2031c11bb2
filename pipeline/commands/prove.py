"""`prove PHOTO`: render four pictures with the real engine and measure their likeness."""

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.commands import (
    DONE,
    REFUSED,
    advance,
    echo,
    open_weights,
    print_json,
    progress_bar,
    read_options,
    read_photo,
    write_atomically,
)
from pipeline.commands.make import load_models, make_folder, prepare_person
from pipeline.engines import EngineName
from pipeline.engines.instantid.options import InstantIDOptions
from pipeline.files.finish import encode
from pipeline.identity.likeness import ACCEPT_DISTANCE, likeness_score
from pipeline.photos.intake import clean_photo, load_pixels
from pipeline.quality.gate import Judgment, judge_picture
from pipeline.styles.shot_list import load_styles, plan_shots
from pipeline.types import PREVIEW, Job, Pixels, Shot

PICTURES = 4
SHEET_HEIGHT = 560
GAP = 12


@dataclass(frozen=True)
class Figure:
    """A picture's likeness to the photo.

    `distance` is that of dlib's embeddings. It is None unless the picture shows exactly one face."""

    file: str
    style: str
    faces: int
    distance: float | None
    likeness: float | None
    accepted: bool
    reasons: list[str]


def run(arguments: argparse.Namespace) -> int:
    """Make the pictures and write all of them, even those that the gate refuses.

    Returns 0 if all pictures pass the gate."""
    options = read_options(arguments)
    data = read_photo(arguments.photo)
    folder = make_folder(arguments.out)
    shots = plan_shots(load_styles(), PICTURES, seed=0)
    started = time.perf_counter()
    with progress_bar("Proof") as bar:
        engine: EngineName = "instantid" if arguments.engine == "auto" else arguments.engine
        models = load_models(engine, open_weights(arguments), options)
        loaded = time.perf_counter()
        person = prepare_person([(arguments.photo, data)], None, models, PREVIEW)
        jobs = [Job(person.subject, shot) for shot in shots]
        pictures = list(models.engine.render(jobs, PREVIEW, advance(bar)))
    finished = time.perf_counter()
    figures = []
    for shot, picture in zip(shots, pictures, strict=True):
        file = f"{shot.index + 1:02d}-{shot.style.name}.jpg"
        write_atomically(folder / file, encode(picture.pixels, picture.digital_source))
        found = judge_picture(
            picture.pixels, person.gate_reference, models.finder, models.embedder, monochrome=shot.style.monochrome
        )
        figures.append(describe_picture(file, shot, found))
    sheet = contact_sheet([load_pixels(clean_photo(data).data), *(picture.pixels for picture in pictures)])
    write_atomically(folder / "contact-sheet.jpg", encode(sheet, pictures[0].digital_source))
    report(arguments, folder, models.engine.name, options, figures, loaded - started, finished - loaded)
    return DONE if all(figure.accepted for figure in figures) else REFUSED


def describe_picture(file: str, shot: Shot, found: Judgment) -> Figure:
    """Return the gate's judgment of a picture as a figure."""
    distance, faces = found.likeness.distance, found.likeness.faces
    score = None if distance is None else likeness_score(distance)
    return Figure(file, shot.style.name, faces, distance, score, found.accepted, list(found.reasons))


def report(
    arguments: argparse.Namespace,
    folder: Path,
    engine: str,
    options: InstantIDOptions,
    figures: list[Figure],
    load_seconds: float,
    make_seconds: float,
) -> None:
    """Print the pictures and their likeness as JSON or as lines."""
    if arguments.json:
        print_json(
            {
                "engine": engine,
                "checkpoint": options.checkpoint,
                "accept_distance": ACCEPT_DISTANCE,
                "seconds_to_load": round(load_seconds, 1),
                "seconds_to_make": round(make_seconds, 1),
                "contact_sheet": str(folder / "contact-sheet.jpg"),
                "pictures": [asdict(figure) for figure in figures],
            }
        )
        return
    for figure in figures:
        distance = "not exactly one face" if figure.distance is None else f"distance {figure.distance:.3f}"
        verdict = "accepted" if figure.accepted else f"rejected ({', '.join(figure.reasons)})"
        print(f"{folder / figure.file}  {distance} (limit {ACCEPT_DISTANCE}), likeness {figure.likeness}, {verdict}")
    print(folder / "contact-sheet.jpg")
    echo(f"{engine}: loaded in {load_seconds:.1f} s, {len(figures)} pictures in {make_seconds:.1f} s")


def contact_sheet(pictures: list[Pixels]) -> Pixels:
    """Put the pictures in one row on white, scaled to equal height, (SHEET_HEIGHT + 2 GAP, W, 3)."""
    row = []
    for pixels in pictures:
        width = max(1, round(pixels.shape[1] * SHEET_HEIGHT / pixels.shape[0]))
        scaled = cv2.resize(pixels, (width, SHEET_HEIGHT), interpolation=cv2.INTER_AREA)
        row += [np.full((SHEET_HEIGHT, GAP, 3), 255, np.uint8), scaled.astype(np.uint8)]
    row.append(row[0])
    sheet: Pixels = np.pad(np.concatenate(row, axis=1), ((GAP, GAP), (0, 0), (0, 0)), constant_values=255)
    return sheet
