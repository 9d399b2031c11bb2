"""The types of the pipeline: frozen values and the Engine protocol."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Reason

Pixels = NDArray[np.uint8]
"""(H, W, 3) uint8, sRGB, upright."""

Embedding = NDArray[np.float32]
"""(128,) float32 from dlib: Euclidean distance compares people."""

Mesh = NDArray[np.float32]
"""(468, 3) float32: x, y in pixels of the photo, z in the same scale, MediaPipe's point order."""


@dataclass(frozen=True)
class Size:
    """Width and height of a picture in pixels."""

    width: int
    height: int

    @property
    def long_edge(self) -> int:
        return max(self.width, self.height)


# The aspect ratio is 4:5 at about one megapixel. Square pictures are optional.
PREVIEW = Size(896, 1120)
PREVIEW_SQUARE = Size(1024, 1024)
# The long edge of 4K has 3,840 px.
PREMIUM = Size(3072, 3840)
PREMIUM_SQUARE = Size(3840, 3840)


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the photo.

    The rectangle may reach beyond the photo's borders."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def scaled(self, factor: float) -> "Box":
        """Return this rectangle in a photo enlarged by `factor`."""
        return Box(self.left * factor, self.top * factor, self.right * factor, self.bottom * factor)


@dataclass(frozen=True, eq=False)
class Face:
    """One face in a photo.

    score: the detector's confidence, 0..1. mesh: the 468 points of the face."""

    box: Box
    score: float
    mesh: Mesh = field(repr=False)


class Status(StrEnum):
    """The result of the check of a photo."""

    ACCEPTED = "accepted"
    WARNED = "warned"
    CHOOSE_FACE = "choose_face"
    REFUSED = "refused"


@dataclass(frozen=True)
class Measurements:
    """The scalars of one face that the photo rules judge.

    The names hold the units. Lightness is CIE L, 0..100."""

    face_width_px: float
    yaw_degrees: float
    pitch_degrees: float
    roll_degrees: float
    sharpness: float
    lightness_median: float
    lightness_p95: float
    overexposed_share: float
    light_asymmetry: float
    occlusion: float
    outside_share: float


@dataclass(frozen=True)
class Verdict:
    """The status of a photo and the reasons for the status.

    reasons: worst first. face: index of the judged face, or None if no single face was judged."""

    status: Status
    reasons: tuple[Reason, ...] = ()
    face: int | None = None


@dataclass(frozen=True, eq=False)
class PhotoCheck:
    """The verdict on a photo, every face (widest first) and the measurements of each face."""

    verdict: Verdict
    faces: tuple[Face, ...] = ()
    measurements: tuple[Measurements, ...] = ()


@dataclass(frozen=True, eq=False)
class SourcePhoto:
    """One photo of the person.

    face: the person's own face. bystanders: the other faces in the photo."""

    pixels: Pixels = field(repr=False)
    face: Face
    bystanders: tuple[Face, ...] = ()


@dataclass(frozen=True)
class StyleSpec:
    """A look: the set behind the person, the light and the color grading.

    Scales are 0..1 except saturation (0..1.5) and those of the drawing engine (see styles/rules.py).
    key_light: direction to the main light (x to the right of the picture, y down, z to the viewer).
    """

    name: str
    title: str
    description: str = ""
    set: str = "corporate"
    key_light: tuple[float, float, float] = (-0.5, -0.5, 0.7)
    key: float = 0.16
    rim: float = 0.10
    wrap: float = 0.30
    tint: float = 0.10
    contrast: float = 0.10
    saturation: float = 1.0
    vignette: float = 0.10
    monochrome: bool = False
    # Only engines that draw a new picture read these fields. Empty and None select the values that the engine's
    # looks.toml has under this look's name.
    prompt: str = ""
    negative: str = ""
    guidance_scale: float | None = None
    control_scale: float | None = None
    adapter_scale: float | None = None


class Framing(StrEnum):
    """The person's distance from the camera and place in the picture."""

    CLASSIC = "classic"
    CLOSE = "close"
    LEFT = "left"
    TIGHT = "tight"
    RIGHT = "right"
    TIGHT_LEFT = "tight_left"
    TIGHT_RIGHT = "tight_right"
    NEAR = "near"
    A_LITTLE_LEFT = "a_little_left"
    A_LITTLE_RIGHT = "a_little_right"


class Light(StrEnum):
    """The place of the lamps: as in the look, nearer the camera, to the side, or above."""

    KEY = "key"
    FRONT = "front"
    SIDE = "side"
    HIGH = "high"


class PersonKind(StrEnum):
    """The noun a prompt uses for the person."""

    PERSON = "person"
    WOMAN = "woman"
    MAN = "man"


class AgeBand(StrEnum):
    """The person's decade of life, coarse on purpose."""

    TWENTIES = "twenties"
    THIRTIES = "thirties"
    FORTIES = "forties"
    FIFTIES = "fifties"
    SIXTIES = "sixties"
    SEVENTIES = "seventies"


class Hair(StrEnum):
    """The hair that a prompt names."""

    SHORT_DARK = "short_dark"
    SHORT_BROWN = "short_brown"
    SHORT_BLOND = "short_blond"
    SHORT_RED = "short_red"
    SHORT_GRAY = "short_gray"
    LONG_DARK = "long_dark"
    LONG_BROWN = "long_brown"
    LONG_BLOND = "long_blond"
    LONG_RED = "long_red"
    LONG_GRAY = "long_gray"
    CURLY = "curly"
    SHAVED = "shaved"
    BALD = "bald"


class Outfit(StrEnum):
    """The clothes that the person wears in the pictures."""

    SUIT = "suit"
    SUIT_AND_TIE = "suit_and_tie"
    BLAZER = "blazer"
    SHIRT = "shirt"
    BLOUSE = "blouse"
    KNIT = "knit"
    T_SHIRT = "t_shirt"
    SCRUBS = "scrubs"


@dataclass(frozen=True)
class SelfDescription:
    """A person's description of themselves, chosen from closed lists and never guessed.

    None means that the person did not answer. Only engines that draw a new picture read the description.
    Private like a photo: never stored in a table."""

    kind: PersonKind = PersonKind.PERSON
    age: AgeBand | None = None
    hair: Hair | None = None
    glasses: bool = False
    headscarf: bool = False
    outfit: Outfit | None = None


@dataclass(frozen=True)
class Shot:
    """A plan for one headshot.

    The same shot of the same subject gives the same pixels."""

    index: int
    style: StyleSpec
    seed: int
    self_description: SelfDescription = SelfDescription()
    framing: Framing = Framing.CLASSIC
    light: Light = Light.KEY


@dataclass(frozen=True, eq=False, repr=False)
class Subject:
    """One person, prepared by one engine for one size.

    Engines add their own fields in subclasses."""

    engine: str
    size: Size

    def __repr__(self) -> str:
        # The fields that engines add describe the person. They must not reach a log through an exception or an assert.
        return f"{type(self).__name__}({self.engine!r}, {self.size})"


@dataclass(frozen=True, eq=False)
class Job:
    """A shot of a subject.

    One call of `render` may mix jobs of several people."""

    subject: Subject
    shot: Shot


class DigitalSource(StrEnum):
    """The origin of a picture, as a term of IPTC's list of digital source types."""

    TRAINED = "trainedAlgorithmicMedia"
    COMPOSITE_WITH_TRAINED = "compositeWithTrainedAlgorithmicMedia"
    COMPOSITE = "composite"


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished rendering of one job, and the digital source type that its files must name."""

    job: Job
    pixels: Pixels = field(repr=False)
    digital_source: DigitalSource = DigitalSource.TRAINED


class Progress(Protocol):
    """A callback that receives the finished share of the work, 0..1.

    The callback may raise Canceled."""

    def __call__(self, share: float) -> None: ...


def ignore_progress(share: float) -> None:
    """Ignore the share, for callers that need no progress."""


def within(on_progress: Progress, start: float, share: float) -> Progress:
    """Return a callback for one part of the work, which begins at `start` and is `share` of the whole."""
    return lambda part: on_progress(start + part * share)


class Engine(Protocol):
    """A renderer of headshots.

    Implementations: studio, fake (tests), instantid."""

    name: str

    def capacity(self, size: Size) -> int:
        """Return how many pictures of this size the engine prefers to render at once."""
        ...

    def prepare(self, photos: Sequence[SourcePhoto], size: Size, on_progress: Progress = ignore_progress) -> Subject:
        """Prepare the person in these photos (best first) for `render`.

        Raises FaceNotFound."""
        ...

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        """Yield one picture per job, in the order of the jobs, each (size.height, size.width, 3)."""
        ...


@runtime_checkable
class SubjectSerializer(Protocol):
    """An engine whose prepared subjects other processes can use.

    Implementations: studio, fake."""

    def is_expensive_to_prepare(self, size: Size) -> bool:
        """Return True if preparing a subject for this size takes too long to be repeated."""
        ...

    def serialize(self, subject: Subject) -> bytes:
        """Return the subject as bytes, which are private like a photo.

        Raises ValueError for a subject of another engine."""
        ...

    def deserialize(self, data: bytes, size: Size) -> Subject:
        """Restore a serialized subject, prepared for `size`.

        Raises ValueError for bytes of another release."""
        ...
