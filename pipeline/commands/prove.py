"""`prove PHOTO...`: render pictures of several people with the real engine, and report likeness, speed and memory."""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.commands import (
    DONE,
    REFUSED,
    CommandFailed,
    advance,
    echo,
    open_weights,
    print_json,
    progress_bar,
    read_options,
    read_photo,
    write_atomically,
)
from pipeline.commands.contact_sheets import list_photos
from pipeline.commands.machine import describe_machine, describe_memory, wait_for_gpu
from pipeline.commands.make import MAX_PHOTOS, SIZES, GatedSubject, Models, load_models, make_folder, prepare_person
from pipeline.commands.proof_report import (
    EncoderReading,
    PersonFigures,
    PictureFigures,
    ProofReport,
    anonymize,
    describe_error,
)
from pipeline.engines import DEFAULT_OPTIONS, EngineName
from pipeline.engines.instantid.options import InstantIDOptions
from pipeline.errors import FaceNotFound
from pipeline.files.finish import encode, shrink_for_web
from pipeline.identity.auraface import cosine
from pipeline.identity.embedding import embedding_distance
from pipeline.identity.likeness import ACCEPT_DISTANCE, MIN_COSINE, likeness_score
from pipeline.photos.intake import clean_photo, load_pixels
from pipeline.quality.contact_sheet import COLUMNS, Cell, draw_pages, shrink_for_cell
from pipeline.quality.drawn import is_drawn
from pipeline.quality.gate import Judgment, judge_picture
from pipeline.styles.shot_list import load_styles, plan_shots
from pipeline.types import PREVIEW, DigitalSource, Engine, Job, Picture, Pixels, Progress, Shot, Size, within
from pipeline.weights import CATALOG, Weights

PICTURES = 4
REPORT, TEXT, PICTURE_FOLDER = "report.json", "report.txt", "pictures"

PhotoFiles = Sequence[tuple[Path, bytes]]


@dataclass(frozen=True, eq=False)
class ProofRequest:
    """What to prove, and with what.

    Attributes:
        people: one photo, or one folder of photos, per person.
        folder: empty or new folder for the report.
        weights: folder of the weights.
        engine: name of the engine.
        options: options of the InstantID engine.
        count: number of pictures per person.
        size: size of the pictures.
        max_distance: largest accepted distance between the face in a picture and the person's face.
        with_pictures: True to also write the pictures and contact sheets.
    """

    people: Sequence[Path]
    folder: Path
    weights: Weights
    engine: EngineName = "instantid"
    options: InstantIDOptions = DEFAULT_OPTIONS
    count: int = PICTURES
    size: Size = PREVIEW
    max_distance: float = ACCEPT_DISTANCE
    with_pictures: bool = False


@dataclass
class Stopwatch:
    """Sums the seconds of named stages. Waits for the GPU, so that its work counts for the right stage."""

    seconds: dict[str, float]
    last: float = field(default_factory=time.perf_counter)

    def start(self) -> None:
        wait_for_gpu()
        self.last = time.perf_counter()

    def stop(self, name: str) -> None:
        """Add the time since the last start or stop to a stage."""
        started = self.last
        self.start()
        self.seconds[name] = self.seconds.get(name, 0.0) + self.last - started

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.start()
        yield
        self.stop(name)


def run(arguments: argparse.Namespace) -> int:
    """Write and print the report. Returns 0 if the quality gate accepts all pictures."""
    request = ProofRequest(
        people=arguments.photos,
        folder=arguments.out,
        weights=open_weights(arguments),
        engine="instantid" if arguments.engine == "auto" else arguments.engine,
        options=read_options(arguments),
        count=arguments.count,
        size=SIZES[arguments.size, "4:5"],
        with_pictures=arguments.with_pictures,
    )
    report = prove(request)
    if arguments.json:
        print_json(report.as_json())
    else:
        print("\n".join(report.lines()))
    echo(f"Report written to {request.folder}")
    return DONE if report.passed else REFUSED


def prove(request: ProofRequest) -> ProofReport:
    """Render and judge the pictures, and write the report.

    A person whose photos can't be used is part of the report. If the engine fails, writes the report with its error,
    and raises the error."""
    people = [read_photos(path) for path in request.people]
    try:
        shots = plan_shots(load_styles(), request.count, seed=0)
    except ValueError as error:
        raise CommandFailed(str(error)) from error
    folder = make_report_folder(request.folder)
    report = ProofReport(
        request.engine,
        describe_settings(request),
        [PersonFigures(number, len(files)) for number, files in enumerate(people, start=1)],
    )
    names = private_names(request, people)
    try:
        with progress_bar("Proof") as bar:
            measure(request, people, shots, names, report, advance(bar))
    except Exception as error:
        report.error = describe_error(error, names)
        raise
    finally:
        report.memory = describe_memory(request.options.device)
        report.machine = describe_machine()
        write_atomically(folder / REPORT, json.dumps(report.as_json(), indent=2).encode())
        write_atomically(folder / TEXT, "\n".join([*report.lines(), ""]).encode())
    return report


def read_photos(path: Path) -> PhotoFiles:
    """Read the photo, or the photos in the folder, of one person. Raises CommandFailed."""
    paths = list_photos(path) if path.is_dir() else [path]
    if len(paths) > MAX_PHOTOS:
        raise CommandFailed(f"{path}: {len(paths)} photos are too many. Give one to {MAX_PHOTOS} photos of a person.")
    return [(each, read_photo(each)) for each in paths]


def make_report_folder(path: Path) -> Path:
    """Create the folder of the report. Raises CommandFailed if it holds files, which could be pictures."""
    if path.is_dir() and any(path.iterdir()):
        raise CommandFailed(f"{path} is not empty; choose a new folder with --out, so that it holds one report only")
    return make_folder(path)


def private_names(request: ProofRequest, people: Sequence[PhotoFiles]) -> dict[str, str]:
    """Return what the report says instead of paths and the names of photos."""
    names = {str(Path.home()): "~", str(Path.cwd()): ".", str(request.weights.directory): "WEIGHTS"}
    for person, (path, files) in enumerate(zip(request.people, people, strict=True), start=1):
        names[str(path)] = f"person {person}"
        for photo, (file, _) in enumerate(files, start=1):
            names |= dict.fromkeys((str(file), file.name), f"photo {photo} of person {person}")
    return names


def describe_settings(request: ProofRequest) -> dict[str, object]:
    """Return the settings that matter for the pictures. Does not name a checkpoint of the operator's own."""
    shown: dict[str, object] = {
        "size": f"{request.size.width}x{request.size.height}",
        "max_distance": request.max_distance,
    }
    if request.engine != "instantid":
        return shown
    options = request.options
    return {
        **asdict(options),
        "checkpoint": options.checkpoint if options.checkpoint in CATALOG.weights else "own",
        "optimizations": list(options.optimizations) if options.fault else sorted(options.chosen_optimizations),
        **shown,
    }


def resolved_settings(engine: Engine) -> dict[str, object]:
    """Return what the engine made of settings that leave a choice to it."""
    if engine.name != "instantid":
        return {}
    from pipeline.engines.instantid.engine import InstantIDEngine

    assert isinstance(engine, InstantIDEngine)
    return {**asdict(engine.sampling), "optimizations": sorted(engine.optimizations)}


def measure(
    request: ProofRequest,
    people: Sequence[PhotoFiles],
    shots: Sequence[Shot],
    names: dict[str, str],
    report: ProofReport,
    on_progress: Progress,
) -> None:
    """Render and judge the pictures of all people. Adds the figures to the report as they are measured."""
    stopwatch = Stopwatch(report.seconds)
    with stopwatch.stage("loading"):
        models = load_models(request.engine, request.weights, request.options)
    report.engine = models.engine.name
    report.settings |= resolved_settings(models.engine)
    subjects: dict[int, GatedSubject] = {}
    for figures, files in zip(report.people, people, strict=True):
        with stopwatch.stage("preparing"):
            try:
                subjects[figures.person] = prepare_person(files, None, models, request.size)
            except (CommandFailed, FaceNotFound) as error:
                figures.problem = anonymize(str(error), names)
    cells: list[Cell] = []
    for number, (person, subject) in enumerate(subjects.items()):
        figures, others = report.people[person - 1], [each for index, each in subjects.items() if index != person]
        if request.with_pictures:
            cells.append(Cell(f"person {person}", shrink_for_cell(load_photo(people[person - 1]))))
        report_person = within(on_progress, number / len(subjects), 1 / len(subjects))
        for picture in render(models, subject, shots, request.size, stopwatch, report_person):
            with stopwatch.stage("judging"):
                judged = judge(picture, subject, others, models, request)
            figures.pictures.append(judged)
            if request.with_pictures:
                write_picture(request.folder / PICTURE_FOLDER, person, picture)
                title, faults = f"{judged.style}  {judged.likeness_text()}", ", ".join(judged.reasons)
                cells.append(Cell(title, shrink_for_cell(picture.pixels), judged.skin_text(), faults))
        # Each person starts in a new row.
        cells += [Cell("", None)] * (-len(cells) % COLUMNS)
    for page, pixels in enumerate(draw_pages(cells), start=1):
        # The photo in it makes the sheet a composite, whatever made the pictures.
        sheet = encode(pixels, DigitalSource.COMPOSITE)
        write_atomically(request.folder / PICTURE_FOLDER / f"contact-sheet-{page}.jpg", sheet)


def load_photo(files: PhotoFiles) -> Pixels:
    """Load the first photo of a person."""
    return load_pixels(clean_photo(files[0][1]).data)


def render(
    models: Models,
    subject: GatedSubject,
    shots: Sequence[Shot],
    size: Size,
    stopwatch: Stopwatch,
    on_progress: Progress,
) -> Iterator[Picture]:
    """Render one batch after the other. Measures denoising and finishing, or rendering if the engine has no such steps.

    Finishing is decoding, enlarging and copying to main memory."""
    denoising_share = 0.0
    if models.engine.name == "instantid":
        from pipeline.engines.instantid.engine import DENOISING_SHARE

        denoising_share = DENOISING_SHARE
    capacity = models.engine.capacity(size)
    for start in range(0, len(shots), capacity):
        jobs = [Job(subject.subject, shot) for shot in shots[start : start + capacity]]
        report_batch = within(on_progress, start / len(shots), len(jobs) / len(shots))

        def measure_step(share: float, report_batch: Progress = report_batch) -> None:
            if 0 < share <= denoising_share:
                stopwatch.stop("denoising")
            report_batch(share)

        stopwatch.start()
        pictures = list(models.engine.render(jobs, size, measure_step))
        stopwatch.stop("finishing" if denoising_share else "rendering")
        yield from pictures


def judge(
    picture: Picture, subject: GatedSubject, others: Sequence[GatedSubject], models: Models, request: ProofRequest
) -> PictureFigures:
    """Judge a picture as the product does, and compare its face with the other people, too."""
    shot, pixels = picture.job.shot, shrink_for_web(picture.pixels)
    found = judge_picture(
        pixels,
        subject.gate_reference,
        models.finder,
        models.embedder,
        monochrome=shot.style.monochrome,
        drawn=is_drawn(picture.digital_source),
        max_distance=request.max_distance,
    )
    return PictureFigures(
        style=shot.style.name,
        seed=shot.seed,
        faces=found.likeness.faces,
        accepted=found.accepted,
        reasons=tuple(found.reasons),
        likeness=tuple(read_encoders(pixels, found, others, models, request.max_distance)),
        skin=found.drift,
        quality=round(found.quality, 2),
    )


def read_encoders(
    pixels: Pixels, found: Judgment, others: Sequence[GatedSubject], models: Models, max_distance: float
) -> Iterator[EncoderReading]:
    """Yield the likeness according to each face encoder. Yields nothing without exactly one face."""
    face, distance = found.likeness.face, found.likeness.distance
    if face is None or distance is None:
        return
    references = [other.gate_reference for other in others]
    embedding = models.embedder.embed(pixels, face) if others else None
    strangers = [] if embedding is None else [embedding_distance(embedding, each.embedding) for each in references]
    yield EncoderReading("dlib", distance, max_distance, min(strangers, default=None), likeness_score(distance))
    second = models.embedder.second
    if second is None or found.likeness.cosine is None:
        return
    embedding = second.embed(pixels, face) if others else None
    seconds = [each.second for each in references if each.second is not None]
    strangers = [] if embedding is None else [1 - cosine(embedding, each) for each in seconds]
    yield EncoderReading("auraface", 1 - found.likeness.cosine, 1 - MIN_COSINE, min(strangers, default=None), None)


def write_picture(folder: Path, person: int, picture: Picture) -> None:
    """Write a picture, whether the quality gate accepted it or not."""
    shot = picture.job.shot
    name = f"person-{person}-{shot.index + 1:02d}-{shot.style.name}.jpg"
    write_atomically(make_folder(folder) / name, encode(picture.pixels, picture.digital_source))
