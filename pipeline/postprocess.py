"""Postprocess rendered pictures: judge and finish them while the engine renders the next ones."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pipeline.faces.find import FaceFinder
from pipeline.files.finish import FileFormat, HeadshotFiles, finish, finish_small, shrink_for_web
from pipeline.files.signing import Identity
from pipeline.identity.embedding import FaceEmbedder
from pipeline.identity.likeness import ACCEPT_DISTANCE
from pipeline.quality.duplicates import Thumbnail, make_thumbnail, perceptual_hash
from pipeline.types import DigitalSource, Picture, Shot

if TYPE_CHECKING:
    from pipeline.quality.gate import GateReference, Judgment


def _spare_threads() -> int:
    """Return half of the cores, 1 to 4.

    The engine needs the other cores. More than four 4K pictures at once would use too much memory."""
    return max(1, min(4, (os.cpu_count() or 2) // 2))


@dataclass(frozen=True, eq=False)
class PostProcessor:
    """The tools and settings that judge and encode pictures.

    Attributes:
        versions: also make the profile crop and the web version.
        threads: number of pictures processed at once.
        batch: number of pictures that the engine renders at once. A whole batch may be waiting for a thread, so that
            the engine can start the next one. At most max(threads, batch) + 1 pictures are being processed or waiting.
    """

    finder: FaceFinder
    embedder: FaceEmbedder
    identity: Identity
    max_distance: float = ACCEPT_DISTANCE
    file_format: FileFormat = "jpeg"
    versions: bool = True
    threads: int = field(default_factory=_spare_threads)
    batch: int = 1


@dataclass(frozen=True, eq=False)
class ProcessedPicture:
    """The result for one picture.

    There is no other way for a picture to leave the pipeline.

    Attributes:
        thumbnail: small copy used to compare pictures. None if the picture shows no face.
        perceptual_hash: used to find near-duplicates.
        files: None if the gate rejected the picture.
    """

    shot: Shot
    digital_source: DigitalSource
    judgment: "Judgment"
    thumbnail: Thumbnail | None
    perceptual_hash: str
    files: HeadshotFiles | None = field(repr=False)


def process(
    pictures: Iterable[Picture], gate_reference: "GateReference", post_processor: PostProcessor
) -> Iterator[ProcessedPicture]:
    """Yield one result per picture, in order.

    Pulls the next picture while threads judge and encode earlier ones.
    Raises SigningFailed, and the errors of the iterable."""
    yield from map_in_background(
        pictures,
        lambda picture: process_picture(picture, gate_reference, post_processor),
        threads=post_processor.threads,
        max_in_flight=max(post_processor.threads, post_processor.batch),
    )


def process_picture(
    picture: Picture, gate_reference: "GateReference", post_processor: PostProcessor
) -> ProcessedPicture:
    """Judge one picture, and encode the picture if the gate accepted it.

    Raises SigningFailed."""
    # Imported here because the benchmark runs this module's thread pool on machines without OpenCV.
    from pipeline.quality.gate import judge_picture

    pixels, source, form = picture.pixels, picture.digital_source, post_processor.file_format
    seen = shrink_for_web(pixels)
    judgment = judge_picture(
        seen,
        gate_reference,
        post_processor.finder,
        post_processor.embedder,
        monochrome=picture.job.shot.style.monochrome,
        max_distance=post_processor.max_distance,
    )
    face = judgment.likeness.face.box if judgment.likeness.face else None
    thumbnail, files = None if face is None else make_thumbnail(seen, face), None
    if judgment.accepted and post_processor.versions:
        files = finish(
            pixels, face and face.scaled(pixels.shape[0] / seen.shape[0]), source, post_processor.identity, form
        )
    elif judgment.accepted:
        files = finish_small(pixels, source, post_processor.identity, form)
    return ProcessedPicture(picture.job.shot, source, judgment, thumbnail, perceptual_hash(seen), files)


Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_background(
    items: Iterable[Item], finish: Callable[[Item], Result], *, threads: int, max_in_flight: int
) -> Iterator[Result]:
    """Apply `finish` to each item in a thread pool and yield the results in order.

    Pulls the next item while earlier ones are processed, if at most `max_in_flight` are waiting. Exceptions of
    `finish` and of the iterable propagate. Items that no thread has started by then are dropped."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(finish, item))
            while waiting and (waiting[0].done() or len(waiting) > max_in_flight):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
