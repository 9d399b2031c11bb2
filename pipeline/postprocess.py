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
    """Half of the cores, the engine has work for the others; four pictures of 4K at once are enough memory."""
    return max(1, min(4, (os.cpu_count() or 2) // 2))


@dataclass(frozen=True, eq=False)
class PostProcessor:
    """What pictures are judged and finished with. versions: whether to make profile crop and web version, too.

    threads: how many pictures are finished at once; so many and one more are in memory, or a whole batch of an engine
    that makes several at once, so that it need not wait before the next."""

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
    """The result for one picture. There is no other way for a picture to leave the pipeline.

    Attributes:
        thumbnail: small copy used to compare pictures. None without a face.
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
    """Yield one result per picture, in order. Raises SigningFailed, and whatever the iterable raises.

    Pulls the next picture while earlier ones are judged and encoded in threads."""
    yield from map_in_background(
        pictures,
        lambda picture: process_picture(picture, gate_reference, post_processor),
        threads=post_processor.threads,
        max_in_flight=max(post_processor.threads, post_processor.batch),
    )


def process_picture(
    picture: Picture, gate_reference: "GateReference", post_processor: PostProcessor
) -> ProcessedPicture:
    """Judge one picture and encode it if it was accepted. Raises SigningFailed."""
    # Not above: the benchmark runs the thread pool of this module on machines without OpenCV.
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

    Pulls the next item while earlier ones are processed, with at most `max_in_flight` in flight. Exceptions of
    `finish` and of the iterable propagate. Items that have not been started by then are dropped."""
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
