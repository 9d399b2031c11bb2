"""From the engine's pictures to judged, finished files, while the engine makes the next picture."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.faces.find import FaceFinder
from pipeline.files.finish import FileFormat, FinishedFiles, finish, finish_small, shrink_for_web
from pipeline.files.signing import Identity
from pipeline.identity.embedding import FaceEmbedder
from pipeline.identity.likeness import ACCEPT_DISTANCE
from pipeline.quality.duplicates import Look, look_at, perceptual_hash
from pipeline.quality.gate import Judgment, Standard, judge_picture
from pipeline.types import DigitalSource, Picture, Shot


def _spare_threads() -> int:
    """Half of the cores, the engine has work for the others; four pictures of 4K at once are enough memory."""
    return max(1, min(4, (os.cpu_count() or 2) // 2))


@dataclass(frozen=True, eq=False)
class Darkroom:
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
class Developed:
    """One picture judged, and finished when it was accepted. look: how it differs from others is told by; None without
    a face. perceptual_hash: twins are found by.

    files: None for a picture that the gate refused; no picture leaves by another way."""

    shot: Shot
    digital_source: DigitalSource
    judgment: Judgment
    look: Look | None
    perceptual_hash: str
    files: FinishedFiles | None = field(repr=False)


def develop(pictures: Iterable[Picture], standard: Standard, darkroom: Darkroom) -> Iterator[Developed]:
    """One result a picture, in order. Raises SigningFailed, and whatever asking for the next picture raises.

    The next picture is asked for while the last ones are finished in threads of their own."""
    yield from finish_behind(
        pictures,
        lambda picture: develop_one(picture, standard, darkroom),
        threads=darkroom.threads,
        most=max(darkroom.threads, darkroom.batch),
    )


def develop_one(picture: Picture, standard: Standard, darkroom: Darkroom) -> Developed:
    """The picture held against the person and made into files. Raises SigningFailed."""
    pixels, source, form = picture.pixels, picture.digital_source, darkroom.file_format
    seen = shrink_for_web(pixels)
    judgment = judge_picture(
        seen,
        standard,
        darkroom.finder,
        darkroom.embedder,
        monochrome=picture.job.shot.style.monochrome,
        max_distance=darkroom.max_distance,
    )
    face = judgment.likeness.face.box if judgment.likeness.face else None
    look, files = None if face is None else look_at(seen, face), None
    if judgment.accepted and darkroom.versions:
        files = finish(pixels, face and face.scaled(pixels.shape[0] / seen.shape[0]), source, darkroom.identity, form)
    elif judgment.accepted:
        files = finish_small(pixels, source, darkroom.identity, form)
    return Developed(picture.job.shot, source, judgment, look, perceptual_hash(seen), files)


Made = TypeVar("Made")
Finished = TypeVar("Finished")


def finish_behind(
    things: Iterable[Made], finish: Callable[[Made], Finished], *, threads: int, most: int
) -> Iterator[Finished]:
    """`finish` of each thing, in order, in threads of their own; meanwhile the next thing is asked for.

    most: how many may be in the threads or wait for them; beyond that nothing is asked for. Raises what `finish`
    raises, and what asking for a thing raises; what has not been begun by then is dropped."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Finished]] = deque()
    try:
        for thing in things:
            waiting.append(pool.submit(finish, thing))
            while waiting and (waiting[0].done() or len(waiting) > most):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
