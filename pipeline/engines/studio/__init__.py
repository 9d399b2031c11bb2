"""The studio engine: headshots from the person's own pixels, on any CPU.

The photo is leveled, framed and cut out once (`prepare`), then set before each look's backdrop
under its light (`render`). Nothing of the person is invented: face, hair and clothes are the photo's.
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


# So many pixels the network may look at for one person, unless a single photo needs more: see docs/decisions.md.
MAX_PIXELS = 900_000
# Its multiples fall evenly between whole numbers and repeat with no period.
GOLDEN_RATIO = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False, repr=False)
class StudioSubject(Subject):
    """One person cut out of each of their photos, best first."""

    portraits: tuple["Portrait", ...]


class StudioEngine:
    """Makes headshots from a photo's own pixels. Calls of `prepare` take turns: its network is not thread-safe."""

    name = "studio"

    def __init__(self, weights: Weights, threads: int = 2) -> None:
        # Here, not above: a process that only names engines shall not load cv2.
        from pipeline.portrait.mask import PersonMask

        self._weights, self._threads = weights, threads
        self._mask = PersonMask(weights, threads)
        self._network: UpscaleNetwork | None = None
        self._lock = threading.Lock()

    def _load_network(self) -> "UpscaleNetwork":
        """Real-ESRGAN, loaded when the first large picture is wanted."""
        from pipeline.upscaling.upscale import load_network

        if self._network is None:
            self._network = load_network(self._weights, self._threads)
        return self._network

    def capacity(self, size: Size) -> int:
        """One: each picture keeps every core busy."""
        return 1

    def prepare(
        self, photos: Sequence[SourcePhoto], size: Size, on_progress: Progress = ignore_progress
    ) -> StudioSubject:
        """Cut the person out and retouch them in the frame of this size, enlarged by Real-ESRGAN for a large one.

        Of several photos that have to be enlarged only as many as MAX_PIXELS allows are used, best first.
        Raises FaceNotFound without a photo, WeightsError without the network that enlarges."""
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
        """A large one is: it may have taken minutes."""
        from pipeline.portrait.upscaled import small_factor

        return small_factor(size) > 1

    def serialize(self, subject: Subject) -> bytes:
        """Some 60 MB a photo at 4K. Raises ValueError for a subject of another engine."""
        from pipeline.portrait.serialization import serialize_portraits

        if not isinstance(subject, StudioSubject):
            raise ValueError(f"prepared by {subject.engine}, not by {self.name}")
        return serialize_portraits(subject.portraits)

    def deserialize(self, data: bytes, size: Size) -> StudioSubject:
        """The subject that was serialized. Raises ValueError for one of another release."""
        from pipeline.portrait.serialization import deserialize_portraits

        return StudioSubject(self.name, size, deserialize_portraits(data))

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        """One picture a job, in order; shots of a subject with several photos take turns through them.

        Raises ValueError for a subject that another engine or another size was prepared for."""
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
    """Which photo a shot is made from: in turn, but never in step with the looks, which come in turn too."""
    return int(index * GOLDEN_RATIO % 1 * photos)
