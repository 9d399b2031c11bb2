"""An engine for tests: deterministic, milliseconds per picture, and it still shows the person."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.errors import FaceNotFound
from pipeline.types import (
    PREVIEW,
    DigitalSource,
    Job,
    Picture,
    Pixels,
    Progress,
    Size,
    SourcePhoto,
    Subject,
    ignore_progress,
)

# The crop's height in face heights: hair and chin are in, neighbors are not.
CROP_FACES = 2.2
FRAME_SHARE = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class FakeSubject(Subject):
    """The person cropped out of each photo, at the size of the pictures."""

    crops: tuple[Pixels, ...]


class FakeEngine:
    """Puts the person's own photo into a frame whose colors are the seed's."""

    name = "fake"

    def capacity(self, size: Size) -> int:
        return 2

    def prepare(
        self, photos: Sequence[SourcePhoto], size: Size, on_progress: Progress = ignore_progress
    ) -> FakeSubject:
        """The face of each photo with some room around it. Raises FaceNotFound without a photo."""
        if not photos:
            raise FaceNotFound("no photo of the person")
        return FakeSubject(self.name, size, tuple(crop_to_face(photo, size) for photo in photos))

    def is_expensive_to_prepare(self, size: Size) -> bool:
        """As if larger ones than a preview had taken minutes, or smaller ones."""
        return size != PREVIEW

    def serialize(self, subject: Subject) -> bytes:
        """The crops as npz. Raises ValueError for a subject of another engine."""
        if not isinstance(subject, FakeSubject):
            raise ValueError(f"prepared by {subject.engine}, not by {self.name}")
        out = io.BytesIO()
        np.savez(out, *subject.crops)
        return out.getvalue()

    def deserialize(self, data: bytes, size: Size) -> FakeSubject:
        """The subject that was serialized. Raises ValueError for what is none."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return FakeSubject(self.name, size, tuple(np.asarray(arrays[name], np.uint8) for name in arrays))

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        """One picture a job, in order. Raises ValueError for a subject of another engine or size."""
        on_progress(0.0)
        for done, job in enumerate(jobs, start=1):
            subject = job.subject
            if not isinstance(subject, FakeSubject) or subject.size != size:
                raise ValueError(f"prepared by {subject.engine} for {subject.size}")
            frame = round(FRAME_SHARE * size.width)
            # Four colors: of fifty single ones some would always look alike.
            corners = np.random.default_rng(job.shot.seed).integers(0, 256, (2, 2, 3), np.uint8)
            rows, columns = np.arange(size.height) * 2 // size.height, np.arange(size.width) * 2 // size.width
            pixels = np.ascontiguousarray(corners[rows][:, columns])
            crop = subject.crops[job.shot.index % len(subject.crops)]
            pixels[frame:-frame, frame:-frame] = crop[frame:-frame, frame:-frame]
            on_progress(done / len(jobs))
            yield Picture(job, pixels, DigitalSource.COMPOSITE)


def crop_to_face(photo: SourcePhoto, size: Size) -> Pixels:
    """(size.height, size.width, 3): the face in the middle, black where the photo ends."""
    box = photo.face.box
    height = CROP_FACES * box.height
    width = height * size.width / size.height
    left, top = (box.left + box.right - width) / 2, (box.top + box.bottom - height) / 2
    corners = (round(left), round(top), round(left + width), round(top + height))
    image = Image.fromarray(photo.pixels).crop(corners)
    return np.array(image.resize((size.width, size.height), Image.Resampling.BILINEAR))
