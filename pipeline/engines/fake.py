"""A test engine: deterministic, takes milliseconds per picture, and shows the person's face."""

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

# Height of the crop in face heights. The crop includes hair and chin and excludes neighbors.
CROP_FACES = 2.2
FRAME_SHARE = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class FakeSubject(Subject):
    """The person's face, cropped from each photo at the size of the pictures."""

    crops: tuple[Pixels, ...]


class FakeEngine:
    """An engine that places the person's photo into a frame. The shot's seed determines the frame's colors."""

    name = "fake"

    def capacity(self, size: Size) -> int:
        return 2

    def prepare(
        self, photos: Sequence[SourcePhoto], size: Size, on_progress: Progress = ignore_progress
    ) -> FakeSubject:
        """Crop each photo to the face and its surroundings.

        Raises FaceNotFound if there are no photos."""
        if not photos:
            raise FaceNotFound("no photo of the person")
        return FakeSubject(self.name, size, tuple(crop_to_face(photo, size) for photo in photos))

    def is_expensive_to_prepare(self, size: Size) -> bool:
        """Return True for all sizes except the preview, so that tests cover both cases."""
        return size != PREVIEW

    def serialize(self, subject: Subject) -> bytes:
        """Return the crops in npz format.

        Raises ValueError if another engine prepared the subject."""
        if not isinstance(subject, FakeSubject):
            raise ValueError(f"prepared by {subject.engine}, not by {self.name}")
        out = io.BytesIO()
        np.savez(out, *subject.crops)
        return out.getvalue()

    def deserialize(self, data: bytes, size: Size) -> FakeSubject:
        """Restore a subject from the bytes of `serialize`.

        Raises ValueError for bytes in another format."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return FakeSubject(self.name, size, tuple(np.asarray(arrays[name], np.uint8) for name in arrays))

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        """Yield one picture per job, in order.

        Raises ValueError if a subject was prepared by another engine or for another size."""
        on_progress(0.0)
        for done, job in enumerate(jobs, start=1):
            subject = job.subject
            if not isinstance(subject, FakeSubject) or subject.size != size:
                raise ValueError(f"prepared by {subject.engine} for {subject.size}")
            frame = round(FRAME_SHARE * size.width)
            # Use four colors per frame. With a single color, some of fifty frames would look alike.
            corners = np.random.default_rng(job.shot.seed).integers(0, 256, (2, 2, 3), np.uint8)
            rows, columns = np.arange(size.height) * 2 // size.height, np.arange(size.width) * 2 // size.width
            pixels = np.ascontiguousarray(corners[rows][:, columns])
            crop = subject.crops[job.shot.index % len(subject.crops)]
            pixels[frame:-frame, frame:-frame] = crop[frame:-frame, frame:-frame]
            on_progress(done / len(jobs))
            yield Picture(job, pixels, DigitalSource.COMPOSITE)


def crop_to_face(photo: SourcePhoto, size: Size) -> Pixels:
    """Crop the photo with the face in the middle. Returns (size.height, size.width, 3).

    Areas outside the photo are black."""
    box = photo.face.box
    height = CROP_FACES * box.height
    width = height * size.width / size.height
    left, top = (box.left + box.right - width) / 2, (box.top + box.bottom - height) / 2
    corners = (round(left), round(top), round(left + width), round(top + height))
    image = Image.fromarray(photo.pixels).crop(corners)
    return np.array(image.resize((size.width, size.height), Image.Resampling.BILINEAR))
