"""Postprocess rendered pictures: run the quality gate, then encode the accepted ones.

Both run in a thread pool while the engine renders the next pictures.
"""

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
    """Return half of the CPU cores, at least 1 and at most 4.

    The engine needs the other cores. More than four 4K pictures at the same time would use too much memory."""
    return max(1, min(4, (os.cpu_count() or 2) // 2))


@dataclass(frozen=True, eq=False)
class PostProcessor:
    """Models and settings for judging and encoding pictures.

    Attributes:
        finder: face detector.
        embedder: computes face embeddings.
        identity: key and certificates that sign the pictures.
        watermark_key: secret key of the invisible watermark.
        max_distance: largest accepted distance between the face in a picture and the person's face.
        file_format: format of the encoded files.
        versions: True to also write the profile crop and the web version.
        threads: number of pictures processed in parallel.
        batch: number of pictures that the engine renders per batch. A whole batch can wait for a thread, so that the
            engine can start the next batch. At most max(threads, batch) + 1 pictures are being processed or waiting.
    """

    finder: FaceFinder
    embedder: FaceEmbedder
    identity: Identity
    watermark_key: bytes = field(repr=False)
    max_distance: float = ACCEPT_DISTANCE
    file_format: FileFormat = "jpeg"
    versions: bool = True
    threads: int = field(default_factory=_spare_threads)
    batch: int = 1


@dataclass(frozen=True, eq=False)
class ProcessedPicture:
    """The result of postprocessing one picture.

    Pictures leave the pipeline only in this form.

    Attributes:
        shot: the planned shot.
        digital_source: IPTC digital source type of the picture.
        judgment: decision of the quality gate.
        thumbnail: small copy for comparing pictures. None if the picture shows no face.
        perceptual_hash: hash for finding near-duplicates.
        files: encoded files. None if the quality gate rejected the picture.
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
    """Judge and encode pictures in background threads. Yields one result per picture, in order.

    Threads process earlier pictures while the engine renders the next one.
    Raises SigningFailed, and any error of `pictures`."""
    yield from map_in_background(
        pictures,
        lambda picture: process_picture(picture, gate_reference, post_processor),
        threads=post_processor.threads,
        max_in_flight=max(post_processor.threads, post_processor.batch),
    )


def process_picture(
    picture: Picture, gate_reference: "GateReference", post_processor: PostProcessor
) -> ProcessedPicture:
    """Judge one picture, apply the quality gate's correction, and encode the picture if it was accepted.

    Raises SigningFailed."""
    # Imported here because the benchmark uses this module's thread pool on machines without OpenCV.
    from pipeline.files.watermark import embed
    from pipeline.quality.drawn import is_drawn
    from pipeline.quality.gate import judge_picture

    pixels, source, form = picture.pixels, picture.digital_source, post_processor.file_format
    seen = shrink_for_web(pixels)
    judgment = judge_picture(
        seen,
        gate_reference,
        post_processor.finder,
        post_processor.embedder,
        monochrome=picture.job.shot.style.monochrome,
        drawn=is_drawn(source),
        max_distance=post_processor.max_distance,
    )
    if judgment.tone_shift is not None:
        seen = judgment.tone_shift.apply(seen)
        # A rejected picture is never used.
        pixels = judgment.tone_shift.apply(pixels) if judgment.accepted else pixels
    if judgment.accepted:
        # Before the smaller versions are made, so that they contain the watermark too.
        pixels = embed(pixels, post_processor.watermark_key, picture.job.subject.engine)
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
    """Apply `finish` to each item in a thread pool, and yield the results in order.

    Takes the next item while earlier items are processed, as long as at most `max_in_flight` results are pending.
    Errors of `finish` and of `items` propagate. Items that no thread has started by then are dropped."""
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
