"""The studio engine: headshots from the person's own pixels, on any CPU.

`prepare` levels, frames and cuts out the person once. `render` then places the person in front of each look's backdrop,
under the look's light. The engine invents nothing: face, hair and clothes are those of the photo.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import FaceNotFound
from pipeline.types import (
    DigitalSource,
    Job,
    Picture,
    Progress,
    Size,
    SourcePhoto,
    Subject,
    ignore_progress,
    within,
)
from pipeline.weights import Weights

if TYPE_CHECKING:
    from pipeline.portrait.prepare import Portrait
    from pipeline.upscaling.upscale import UpscaleNetwork


# Most pixels that the network may process for one person, unless the first photo alone needs more. See
# docs/adr/0028-upscaling-budget.md.
MAX_PIXELS = 900_000
# The fractional parts of its multiples spread evenly over 0..1 and never repeat.
GOLDEN_RATIO = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False, repr=False)
class StudioSubject(Subject):
    """A person cut out of each of their photos, best photo first."""

    portraits: tuple["Portrait", ...]


class StudioEngine:
    """The engine that makes headshots from a photo's own pixels.

    Concurrent calls of `prepare` wait for each other because the mask's network is not thread-safe."""

    name = "studio"

    def __init__(self, weights: Weights, threads: int = 2) -> None:
        # Imported here so that a process that only lists the engines does not load cv2.
        from pipeline.portrait.mask import PersonMask

        self._weights, self._threads = weights, threads
        self._mask = PersonMask(weights, threads)
        self._network: UpscaleNetwork | None = None
        self._lock = threading.Lock()

    def _load_network(self) -> "UpscaleNetwork":
        """Return Real-ESRGAN, loading it on the first call."""
        from pipeline.upscaling.upscale import load_network

        if self._network is None:
            self._network = load_network(self._weights, self._threads)
        return self._network

    def capacity(self, size: Size) -> int:
        """Return 1, because each picture uses every core."""
        return 1

    def prepare(
        self, photos: Sequence[SourcePhoto], size: Size, on_progress: Progress = ignore_progress
    ) -> StudioSubject:
        """Cut out and retouch the person, framed for this size.

        Real-ESRGAN enlarges the person for a large size if the photo is too small. If several photos need that, only as
        many are used as MAX_PIXELS allows, best first. Raises FaceNotFound without a photo. Raises WeightsError if the
        upscaling network is needed and missing."""
        from pipeline.portrait.prepare import (
            CUT_OUT_PIXELS,
            choose_photos,
            plan_portrait,
            prepare_portrait,
        )

        if not photos:
            raise FaceNotFound("no photo of the person")
        with self._lock:
            plans = [plan_portrait(photo, size, self._mask) for photo in photos]
            plans = [plans[index] for index in choose_photos([plan.network_pixels for plan in plans], MAX_PIXELS)]
            network = self._load_network() if any(plan.network_pixels for plan in plans) else None
            costs = [plan.network_pixels + CUT_OUT_PIXELS for plan in plans]
            portraits = []
            for each, plan in enumerate(plans):
                report = within(on_progress, sum(costs[:each]) / sum(costs), costs[each] / sum(costs))
                portraits.append(prepare_portrait(plan, size, network, report))
        return StudioSubject(self.name, size, tuple(portraits))

    def is_expensive_to_prepare(self, size: Size) -> bool:
        """Return True for large sizes, where `prepare` can take minutes."""
        from pipeline.portrait.upscaled import small_factor

        return small_factor(size) > 1

    def serialize(self, subject: Subject) -> bytes:
        """Return the subject as bytes, about 60 MB per photo at 4K.

        Raises ValueError for a subject of another engine."""
        from pipeline.portrait.serialization import serialize_portraits

        if not isinstance(subject, StudioSubject):
            raise ValueError(f"prepared by {subject.engine}, not by {self.name}")
        return serialize_portraits(subject.portraits)

    def deserialize(self, data: bytes, size: Size) -> StudioSubject:
        """Return the subject that `serialize` stored.

        Raises ValueError for data in another release's format."""
        from pipeline.portrait.serialization import deserialize_portraits

        return StudioSubject(self.name, size, deserialize_portraits(data))

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        """Yield one picture per job, in order.

        The shots of a subject with several photos use its photos in turn. Raises ValueError for a subject that was
        prepared by another engine or for another size."""
        from pipeline.engines.studio.compose import compose

        on_progress(0.0)
        for done, job in enumerate(jobs, start=1):
            subject = job.subject
            if not isinstance(subject, StudioSubject):
                raise ValueError(f"prepared by {subject.engine}, not by {self.name}")
            if subject.size != size:
                raise ValueError(f"prepared for {subject.size}, not for {size}")
            portrait = subject.portraits[choose_photo(job.shot.index, len(subject.portraits))]
            source = DigitalSource.COMPOSITE_WITH_TRAINED if portrait.enlarged else DigitalSource.COMPOSITE
            picture = Picture(job, compose(portrait, job.shot, self._threads), source)
            on_progress(done / len(jobs))
            yield picture


def choose_photo(index: int, photos: int) -> int:
    """Return the index of the photo that a shot is made from.

    Photos alternate, but never in step with the looks, which also alternate."""
    return int(index * GOLDEN_RATIO % 1 * photos)
