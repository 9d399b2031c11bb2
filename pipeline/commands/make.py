"""`make`: make headshots of the person in one or more photos."""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.commands import (
    CHOOSE_FACE,
    DONE,
    REFUSED,
    CommandFailed,
    advance,
    describe_face,
    echo,
    open_weights,
    print_json,
    progress_bar,
    read_options,
    read_photo,
    suppress_stderr,
    write_atomically,
)
from pipeline.engines import DEFAULT_OPTIONS, EngineName, create_engine
from pipeline.engines.instantid.options import InstantIDOptions
from pipeline.errors import FaceNotFound, PhotoRefused
from pipeline.faces.find import FaceFinder
from pipeline.files.finish import ENDINGS, WEB_LONG_EDGE_PX, FileFormat
from pipeline.files.signing import Identity, load_identity, make_test_identity
from pipeline.identity.cluster import SeenFace, cluster_faces
from pipeline.identity.embedding import FaceEmbedder
from pipeline.identity.likeness import likeness_score
from pipeline.photos.check import check_photo
from pipeline.photos.intake import clean_photo, load_pixels
from pipeline.photos.rules import judge
from pipeline.postprocess import PostProcessor, ProcessedPicture, process
from pipeline.quality.duplicates import Thumbnail, is_near_duplicate, nearest
from pipeline.quality.gate import GateReference, build_gate_reference
from pipeline.styles.rules import is_plain_color
from pipeline.styles.shot_list import choose_replacement, load_styles, plan_shots, reframe, reshoot
from pipeline.types import (
    PREMIUM,
    PREMIUM_BANNER,
    PREMIUM_SQUARE,
    PREMIUM_THREE_TO_FOUR,
    PREVIEW,
    PREVIEW_BANNER,
    PREVIEW_SQUARE,
    PREVIEW_THREE_TO_FOUR,
    DigitalSource,
    Engine,
    Job,
    PhotoCheck,
    Picture,
    Pixels,
    Progress,
    Shot,
    Size,
    SourcePhoto,
    Status,
    StyleSpec,
    Subject,
    within,
)
from pipeline.weights import Weights

DEFAULT_COUNT = 4
MAX_PHOTOS = 5
# One attempt and two retries. After three failures, the reason is one that a new seed does not change.
ATTEMPTS = 3
# Not a secret: it only says that a picture was made with this command. The product has a secret key.
WATERMARK_KEY = b"python -m pipeline make"
MANIFEST = "manifest.json"
SIZES = {
    ("preview", "4:5"): PREVIEW,
    ("preview", "3:4"): PREVIEW_THREE_TO_FOUR,
    ("preview", "square"): PREVIEW_SQUARE,
    ("preview", "banner"): PREVIEW_BANNER,
    ("4k", "4:5"): PREMIUM,
    ("4k", "3:4"): PREMIUM_THREE_TO_FOUR,
    ("4k", "square"): PREMIUM_SQUARE,
    ("4k", "banner"): PREMIUM_BANNER,
}


@dataclass(frozen=True, eq=False)
class Models:
    """Models that are loaded once and used for all photos.

    Attributes:
        finder: face finder.
        embedder: computes face embeddings.
        engine: engine that renders the pictures.
    """

    finder: FaceFinder
    embedder: FaceEmbedder
    engine: Engine


@dataclass(frozen=True, eq=False)
class RenderContext:
    """Everything that rendering needs apart from the person and the shots.

    Attributes:
        models: loaded models.
        identity: key and certificates that sign the pictures.
        file_format: format of the files.
    """

    models: Models
    identity: Identity
    file_format: FileFormat = "jpeg"

    def post_processor(self, size: Size) -> PostProcessor:
        """Return the post-processor for pictures of this size.

        Only large pictures get a profile crop and a web version."""
        large = size.long_edge > WEB_LONG_EDGE_PX
        models = self.models
        return PostProcessor(
            models.finder,
            models.embedder,
            self.identity,
            WATERMARK_KEY,
            file_format=self.file_format,
            versions=large,
        )


@dataclass(frozen=True, eq=False)
class GatedSubject:
    """A prepared person with the data for the quality gate.

    Attributes:
        subject: person as prepared by the engine.
        gate_reference: data that the quality gate compares pictures with.
    """

    subject: Subject
    gate_reference: GateReference


@dataclass(frozen=True, eq=False)
class AcceptedHeadshot:
    """A picture that the quality gate accepted.

    Attributes:
        shot: planned shot.
        files: the picture by file name. A large picture also has its profile crop and web version.
        digital_source: IPTC digital source type of the picture.
        likeness: probability that picture and photos show the same person, or None if not measured.
        quality: 0..1.
        thumbnail: small copy for comparing the pictures in the manifest.
        perceptual_hash: hash for finding near-duplicates.
        seconds: time from the request to the engine until the files were finished.
    """

    shot: Shot
    files: dict[str, bytes] = field(repr=False)
    digital_source: DigitalSource
    likeness: float | None
    quality: float
    thumbnail: Thumbnail
    perceptual_hash: str
    seconds: float

    @property
    def file(self) -> str:
        return next(iter(self.files))


def run(arguments: argparse.Namespace) -> int:
    """Make the headshots, write them with a manifest, and print their paths."""
    started = time.perf_counter()
    styles = choose_styles(arguments.style)
    if len(arguments.photos) > MAX_PHOTOS:
        raise CommandFailed(
            f"{len(arguments.photos)} photos are too many. Give one to {MAX_PHOTOS} photos of one person."
        )
    try:
        shots = plan_shots(styles, arguments.count or max(DEFAULT_COUNT, len(arguments.style)), arguments.seed)
    except ValueError as error:
        raise CommandFailed(str(error)) from error
    size = SIZES[arguments.size, arguments.shape]
    files = [(path, read_photo(path)) for path in arguments.photos]
    identity = choose_identity(arguments.sign_key, arguments.sign_certificates)
    folder = make_folder(arguments.out)
    headshots = []
    with progress_bar("Headshots", total=len(shots), unit="pictures") as bar:
        models = load_models(arguments.engine, open_weights(arguments), read_options(arguments))
        person = prepare_person(files, arguments.face, models, size)
        context = RenderContext(models, identity, arguments.format)
        for headshot in make_headshots(person, shots, size, context, advance(bar)):
            for file, data in headshot.files.items():
                write_atomically(make_folder((folder / file).parent) / Path(file).name, data)
            # Drop the files from memory, because they are on disk now. Fifty pictures would need a gigabyte.
            headshots.append(replace(headshot, files=dict.fromkeys(headshot.files, b"")))
    headshots.sort(key=lambda made: made.shot.index)
    manifest = [describe_headshot(headshot, size, headshots) for headshot in headshots]
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=2).encode())
    if arguments.json:
        print_json(manifest)
    else:
        for entry in manifest:
            print(f"{folder / str(entry['file'])}  likeness {entry['likeness']}")
        echo(f"{len(manifest)} of {len(shots)} headshots in {time.perf_counter() - started:.1f} s")
    if missing := len(shots) - len(headshots):
        complaint = (
            f"{missing} of {len(shots)} pictures did not pass the quality gate or were too similar to another one."
        )
        raise CommandFailed(complaint, REFUSED)
    return DONE


def choose_identity(key: Path | None, certificates: Path | None) -> Identity:
    """Load the operator's signing identity. By default, returns a test identity that names no operator.

    Raises CommandFailed or SigningFailed."""
    if key is None and certificates is None:
        return make_test_identity("Unknown operator")
    if key is None or certificates is None:
        raise CommandFailed("--sign-key and --sign-certificates must be given together")
    return load_identity(read_photo(key), read_photo(certificates))


def choose_styles(names: Sequence[str]) -> tuple[StyleSpec, ...]:
    """Return the styles with these names, in order, or all styles if there are no names.

    A hex color such as "#1b3a5c" names the look `brand` in this color. Raises CommandFailed if a name is unknown."""
    known = {style.name: style for style in load_styles()}
    colors = [name.lower() for name in names if is_plain_color(name)]
    known |= {name: replace(known["brand"], name=f"color-{name[1:]}", title=name, set=name) for name in colors}
    names = [name.lower() if is_plain_color(name) else name for name in names]
    for name in names:
        if name not in known:
            raise CommandFailed(f"There is no look called {name!r}; known: {', '.join(known)}.")
    return tuple(known[name] for name in names) or tuple(known.values())


def make_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}; choose another folder with --out") from error
    return path


def load_models(engine: EngineName, weights: Weights, options: InstantIDOptions = DEFAULT_OPTIONS) -> Models:
    with suppress_stderr():
        return Models(FaceFinder(weights), FaceEmbedder(weights), create_engine(engine, weights, options))


def prepare_person(files: Sequence[tuple[Path, bytes]], face: int | None, models: Models, size: Size) -> GatedSubject:
    """Prepare the person in these photos for rendering.

    Raises CommandFailed if a photo cannot be used or shows another person."""
    sources = []
    for path, data in files:
        try:
            pixels = load_pixels(clean_photo(data).data)
        except PhotoRefused as refused:
            raise CommandFailed(f"{path}: refused ({refused.reason})", REFUSED) from refused
        check = check_photo(pixels, models.finder)
        # With several photos, --face applies only to those with several faces.
        wanted = None if len(files) > 1 and len(check.faces) == 1 else face
        sources.append(choose_source(path, pixels, check, wanted))
    if strangers := find_strangers(sources, models.embedder):
        person = next(path for index, (path, _) in enumerate(files) if index not in strangers)
        raise CommandFailed(f"{files[strangers[0]][0]}: shows another person than {person}", REFUSED)
    return GatedSubject(models.engine.prepare(sources, size), build_gate_reference(sources, models.embedder))


def find_strangers(sources: Sequence[SourcePhoto], embedder: FaceEmbedder) -> list[int]:
    """Return the indices of photos that do not show the person who is in most photos.

    If two people are in the same number of photos, uses the person in the earliest photo."""
    seen = [SeenFace(index, 0, embedder.embed(photo.pixels, photo.face)) for index, photo in enumerate(sources)]
    person = max(cluster_faces(seen), key=lambda each: (len(each.faces), -min(face.photo for face in each.faces)))
    return [index for index in range(len(sources)) if person.face_in(index) is None]


def choose_source(path: Path, pixels: Pixels, check: PhotoCheck, face: int | None) -> SourcePhoto:
    """Return the photo with the selected face.

    Raises CommandFailed if the photo is refused or a face must be selected first."""
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
        echo(f"{path}: usable, with warnings ({reasons})")
    bystanders = tuple(found for index, found in enumerate(check.faces) if index != verdict.face)
    return SourcePhoto(pixels, check.faces[verdict.face], bystanders)


def make_headshots(
    person: GatedSubject, shots: Sequence[Shot], size: Size, context: RenderContext, on_progress: Progress
) -> Iterator[AcceptedHeadshot]:
    """Render the shots, and yield the pictures that the quality gate accepts.

    A shot that fails is repeated with a new seed. A shot that looks like another one is changed by `vary_shot`. After
    three attempts a shot is omitted. `on_progress` receives the finished fraction of the shots."""
    post_processor, hashes = context.post_processor(size), list[str]()
    planned, pending = {shot.index: shot for shot in shots}, list(shots)
    for attempt in range(1, ATTEMPTS + 1):
        wanted, pending = pending, []
        report = within(on_progress, 1 - len(wanted) / len(shots), len(wanted) / len(shots))
        started = time.perf_counter()
        for processed in process(
            render_pictures(person, wanted, size, context, report), person.gate_reference, post_processor
        ):
            shot, thumbnail = processed.shot, processed.thumbnail
            if processed.files is None or thumbnail is None:
                planned[shot.index] = reshoot(shot, attempt)
                pending.append(planned[shot.index])
            elif is_near_duplicate(processed.perceptual_hash, hashes):
                planned[shot.index] = vary_shot(shot, attempt, list(planned.values()))
                pending.append(planned[shot.index])
            else:
                hashes.append(processed.perceptual_hash)
                yield accept_headshot(processed, thumbnail, context.file_format, time.perf_counter() - started)
            started = time.perf_counter()


def vary_shot(shot: Shot, attempt: int, pack: Sequence[Shot]) -> Shot:
    """Return a variation of a shot that looks like another shot.

    The first variation has another framing and light, and later ones also another look. A face that fills its photo
    leaves little room for framings to differ. pack: all shots."""
    elsewhere = reframe(
        shot, attempt, {(each.framing, each.light) for each in pack if each.style.set == shot.style.set}
    )
    return elsewhere if attempt == 1 else choose_replacement(shot, attempt, pack) or elsewhere


def render_pictures(
    person: GatedSubject, shots: Sequence[Shot], size: Size, context: RenderContext, on_progress: Progress
) -> Iterator[Picture]:
    """Render the shots in batches of the engine's preferred size."""
    engine = context.models.engine
    capacity = engine.capacity(size)
    for start in range(0, len(shots), capacity):
        jobs = [Job(person.subject, shot) for shot in shots[start : start + capacity]]
        report = within(on_progress, start / len(shots), len(jobs) / len(shots))
        yield from engine.render(jobs, size, report)


def accept_headshot(
    processed: ProcessedPicture, thumbnail: Thumbnail, file_format: FileFormat, seconds: float
) -> AcceptedHeadshot:
    """Return the accepted picture with its files by name."""
    shot, made = processed.shot, processed.files
    assert made is not None
    file = f"{shot.index + 1:02d}-{shot.style.name}.{ENDINGS[file_format]}"
    files = {file: made.full, f"profile/{file}": made.profile, f"web/{file}": made.web}
    distance, quality = processed.judgment.likeness.distance, processed.judgment.quality
    score = None if distance is None else likeness_score(distance)
    kept = {name: data for name, data in files.items() if data is not None}
    return AcceptedHeadshot(
        shot, kept, processed.digital_source, score, quality, thumbnail, processed.perceptual_hash, seconds
    )


def describe_headshot(
    headshot: AcceptedHeadshot, size: Size, pack: Sequence[AcceptedHeadshot]
) -> dict[str, str | int | float | None]:
    """Return the headshot's entry in the manifest.

    `file` is relative to the manifest. nearest_whole and nearest_subject are the distances to the most similar other
    picture of the pack (see duplicates.py)."""
    shot = headshot.shot
    near_duplicate = nearest(headshot.thumbnail, [other.thumbnail for other in pack if other is not headshot])
    return {
        "file": headshot.file,
        "style": shot.style.name,
        "framing": shot.framing,
        "light": shot.light,
        "seed": shot.seed,
        "width": size.width,
        "height": size.height,
        "digital_source": headshot.digital_source,
        "likeness": headshot.likeness,
        "quality": round(headshot.quality, 2),
        "perceptual_hash": headshot.perceptual_hash,
        "nearest_whole": None if near_duplicate is None else round(near_duplicate.whole, 2),
        "nearest_subject": None if near_duplicate is None else round(near_duplicate.subject, 2),
        "seconds": round(headshot.seconds, 3),
    }
