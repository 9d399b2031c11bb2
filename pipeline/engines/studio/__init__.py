"""The studio engine makes headshots from the pixels of the person's own photos, on any CPU.

`prepare` rotates the photo upright, crops it and cuts out the person, once per subject. `render` places the person in
front of the style's backdrop and applies the style's lighting. The engine generates no content: face, hair and clothes
are those of the photo.
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


# Largest number of pixels that the upscaling network processes per person, unless the first photo alone needs more. See
# docs/adr/0028-upscaling-budget.md.
MAX_PIXELS = 900_000
# The fractional parts of the multiples of this number spread evenly over 0..1 and never repeat.
GOLDEN_RATIO = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False, repr=False)
class StudioSubject(Subject):
    """A person, cut out of each of their photos. The best photo comes first."""

    portraits: tuple["Portrait", ...]


class StudioEngine:
    """An engine that makes headshots from the pixels of a photo.

    Concurrent calls of `prepare` wait for each other, because the segmentation network is not thread-safe."""

    name = "studio"

    def __init__(self, weights: Weights, threads: int = 2) -> None:
        # Imported here so that a process that only lists the engines does not load cv2.
        from pipeline.portrait.mask import PersonMask

        self._weights, self._threads = weights, threads
        self._mask = PersonMask(weights, threads)
        self._network: UpscaleNetwork | None = None
        self._lock = threading.Lock()

    def _load_network(self) -> "UpscaleNetwork":
        """Return Real-ESRGAN. Loads it on the first call."""
        from pipeline.upscaling.upscale import load_network

        if self._network is None:
            self._network = load_network(self._weights, self._threads)
        return self._network

    def capacity(self, size: Size) -> int:
        """Return 1, because rendering a picture uses all cores."""
        return 1

    def prepare(
        self, photos: Sequence[SourcePhoto], size: Size, on_progress: Progress = ignore_progress
    ) -> StudioSubject:
        """Cut out and retouch the person in each photo, cropped for pictures of this size.

        If the pictures are large and a photo is too small, Real-ESRGAN enlarges the person in it. If several photos
        must be enlarged, uses only as many of them as MAX_PIXELS allows, best first.
        Raises FaceNotFound if there are no photos. Raises WeightsError if the upscaling network is needed but missing.
        """
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

    def outline_confidence(self, photo: SourcePhoto, size: Size) -> float:
        """Return how sure the segmentation network is about the person's outline in a headshot of this size, 0..1."""
        from pipeline.portrait.framing import extend_photo, frame_head

        with self._lock:
            photo = extend_photo(photo)
            return self._mask.confidence(photo, frame_head(photo.face.mesh, size, self._mask.outline(photo)))

    def is_expensive_to_prepare(self, size: Size) -> bool:
        """Return True for large sizes, for which `prepare` can take minutes."""
        from pipeline.portrait.upscaled import small_factor

        return small_factor(size) > 1

    def serialize(self, subject: Subject) -> bytes:
        """Serialize the subject, about 60 MB per photo at 4K.

        Raises ValueError if another engine prepared the subject."""
        from pipeline.portrait.serialization import serialize_portraits

        if not isinstance(subject, StudioSubject):
            raise ValueError(f"prepared by {subject.engine}, not by {self.name}")
        return serialize_portraits(subject.portraits)

    def deserialize(self, data: bytes, size: Size) -> StudioSubject:
        """Restore a subject from the bytes of `serialize`.

        Raises ValueError if the bytes have the format of another release."""
        from pipeline.portrait.serialization import deserialize_portraits

        return StudioSubject(self.name, size, deserialize_portraits(data))

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        """Yield one picture per job, in order.

        If a subject has several photos, its shots use them in turn. Raises ValueError if a subject was prepared by
        another engine or for another size."""
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
    """Return the index of the photo that this shot uses.

    Photos alternate, but not in step with the styles. Otherwise a style would always use the same photo."""
    return int(index * GOLDEN_RATIO % 1 * photos)
