"""`make`: headshots of the person in these photos."""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.check import check_photo
from pipeline.commands import (
    CHOOSE_FACE,
    DONE,
    REFUSED,
    CommandFailed,
    advance,
    describe_face,
    hushed,
    print_json,
    progress_bar,
    read_photo,
    tell,
    write_atomically,
)
from pipeline.engines import EngineName, create_engine
from pipeline.errors import FaceNotFound, PhotoRefused
from pipeline.faces.embed import FaceEmbedder, embedding_distance
from pipeline.faces.find import FaceFinder
from pipeline.finish import encode
from pipeline.intake import clean_photo, load_pixels
from pipeline.likeness import ACCEPT_DISTANCE, judge_likeness, likeness_score
from pipeline.photo_rules import judge
from pipeline.shot_list import load_styles, plan_shots, reshoot
from pipeline.types import (
    PREVIEW,
    PREVIEW_SQUARE,
    Embedding,
    Engine,
    Job,
    PhotoCheck,
    Pixels,
    Progress,
    Shot,
    Size,
    SourcePhoto,
    Status,
    Style,
    Subject,
    within,
)
from pipeline.weights import Weights

DEFAULT_COUNT = 4
# A shot and two new seeds: what fails three times fails for a reason that a seed does not change.
ATTEMPTS = 3
MANIFEST = "manifest.json"


@dataclass(frozen=True, eq=False)
class Models:
    """Everything that is loaded once and used for every photo."""

    finder: FaceFinder
    embedder: FaceEmbedder
    engine: Engine


@dataclass(frozen=True, eq=False)
class Person:
    """The subject of the pictures and the embedding that they are held against."""

    subject: Subject
    reference: Embedding


@dataclass(frozen=True, eq=False)
class Headshot:
    """A picture that passed the gate. `likeness` 0..1; `seconds` from asking the engine to the finished file."""

    shot: Shot
    jpeg: bytes = field(repr=False)
    likeness: float | None
    seconds: float

    @property
    def file(self) -> str:
        return f"{self.shot.index + 1:02d}-{self.shot.style.name}.jpg"


def run(arguments: argparse.Namespace) -> int:
    """Makes the headshots, writes them and the manifest, and says where they are."""
    started = time.perf_counter()
    styles = choose_styles(arguments.style)
    shots = plan_shots(styles, arguments.count or max(DEFAULT_COUNT, len(arguments.style)), arguments.seed)
    size = PREVIEW_SQUARE if arguments.square else PREVIEW
    files = [(path, read_photo(path)) for path in arguments.photos]
    folder = make_folder(arguments.out)
    headshots = []
    with progress_bar("Headshots", total=len(shots), unit="pictures") as bar:
        models = load_models(arguments.engine, Weights(arguments.weights))
        person = prepare_person(files, arguments.face, models, size)
        for headshot in make_headshots(person, shots, size, models, advance(bar)):
            write_atomically(folder / headshot.file, headshot.jpeg)
            headshots.append(headshot)
    manifest = [describe_headshot(headshot, size) for headshot in sorted(headshots, key=lambda made: made.shot.index)]
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=2).encode())
    if arguments.json:
        print_json(manifest)
    else:
        for entry in manifest:
            print(f"{folder / str(entry['file'])}  likeness {entry['likeness']}")
        tell(f"{len(manifest)} of {len(shots)} headshots in {time.perf_counter() - started:.1f} s")
    if missing := len(shots) - len(headshots):
        raise CommandFailed(f"{missing} of {len(shots)} pictures did not look enough like the person.", REFUSED)
    return DONE


def choose_styles(names: Sequence[str]) -> tuple[Style, ...]:
    """The looks of these names, in their order; all of them when none is named. Raises CommandFailed."""
    known = {style.name: style for style in load_styles()}
    for name in names:
        if name not in known:
            raise CommandFailed(f"There is no style called {name!r}; known: {', '.join(known)}.")
    return tuple(known[name] for name in names) or tuple(known.values())


def make_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error
    return path


def load_models(engine: EngineName, weights: Weights) -> Models:
    with hushed():
        return Models(FaceFinder(weights), FaceEmbedder(weights), create_engine(engine, weights))


def prepare_person(files: Sequence[tuple[Path, bytes]], face: int | None, models: Models, size: Size) -> Person:
    """The one person in these photos. Raises CommandFailed for a photo that cannot be used or shows somebody else."""
    sources = []
    for path, data in files:
        try:
            pixels = load_pixels(clean_photo(data).data)
        except PhotoRefused as refused:
            raise CommandFailed(f"{path}: refused ({refused.reason})", REFUSED) from refused
        check = check_photo(pixels, models.finder)
        # With several photos the number is meant for those that show several people.
        wanted = None if len(files) > 1 and len(check.faces) == 1 else face
        sources.append(choose_source(path, pixels, check, wanted))
    reference = models.embedder.embed(sources[0].pixels, sources[0].face)
    for (path, _), source in zip(files[1:], sources[1:], strict=True):
        if embedding_distance(reference, models.embedder.embed(source.pixels, source.face)) > ACCEPT_DISTANCE:
            raise CommandFailed(f"{path}: not the person of {files[0][0]}", REFUSED)
    return Person(models.engine.prepare(sources, size), reference)


def choose_source(path: Path, pixels: Pixels, check: PhotoCheck, face: int | None) -> SourcePhoto:
    """The photo with its person settled. Raises CommandFailed when it is refused or nobody said who is meant."""
    try:
        verdict = check.verdict if face is None else judge(check.measurements, face)
    except FaceNotFound as error:
        raise CommandFailed(f"{path}: {error}") from error
    reasons = ", ".join(verdict.reasons)
    if verdict.status is Status.REFUSED:
        raise CommandFailed(f"{path}: refused ({reasons})", REFUSED)
    if verdict.face is None:
        faces = [describe_face(index, found) for index, found in enumerate(check.faces)]
        raise CommandFailed("\n".join([f"{path}: several faces; choose one with --face INDEX", *faces]), CHOOSE_FACE)
    if verdict.status is Status.WARNED:
        tell(f"{path}: can be used, but: {reasons}")
    bystanders = tuple(found for index, found in enumerate(check.faces) if index != verdict.face)
    return SourcePhoto(pixels, check.faces[verdict.face], bystanders)


def make_headshots(
    person: Person, shots: Sequence[Shot], size: Size, models: Models, on_progress: Progress
) -> Iterator[Headshot]:
    """The pictures that pass the gate, as they come. One that fails is shot again with a new seed; then it is left out.

    `on_progress` hears the share of the shots that are through."""
    capacity = models.engine.capacity(size)
    pending, passed = list(shots), 0
    for attempt in range(ATTEMPTS):
        batches = [pending[start : start + capacity] for start in range(0, len(pending), capacity)]
        pending = []
        for batch in batches:
            jobs = [Job(person.subject, reshoot(shot, attempt)) for shot in batch]
            report = within(on_progress, passed / len(shots), len(batch) / len(shots))
            started = time.perf_counter()
            for shot, picture in zip(batch, models.engine.render(jobs, size, report), strict=True):
                likeness = judge_likeness(picture.pixels, person.reference, models.finder, models.embedder)
                if likeness.accepted:
                    passed += 1
                    score = None if likeness.distance is None else likeness_score(likeness.distance)
                    jpeg = encode(picture.pixels, picture.digital_source)
                    yield Headshot(picture.job.shot, jpeg, score, time.perf_counter() - started)
                else:
                    pending.append(shot)
                started = time.perf_counter()


def describe_headshot(headshot: Headshot, size: Size) -> dict[str, str | int | float | None]:
    """The headshot as the manifest knows it; `file` lies beside the manifest."""
    return {
        "file": headshot.file,
        "style": headshot.shot.style.name,
        "seed": headshot.shot.seed,
        "width": size.width,
        "height": size.height,
        "likeness": headshot.likeness,
        "seconds": round(headshot.seconds, 3),
    }
