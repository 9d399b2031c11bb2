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


# Four by five at about one megapixel; square on request.
PREVIEW = Size(896, 1120)
PREVIEW_SQUARE = Size(1024, 1024)
# 4K: the long edge has 3,840 px.
PREMIUM = Size(3072, 3840)
PREMIUM_SQUARE = Size(3840, 3840)


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the photo; may reach beyond its borders."""

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
        """The same rectangle where the photo is so much larger."""
        return Box(self.left * factor, self.top * factor, self.right * factor, self.bottom * factor)


@dataclass(frozen=True, eq=False)
class Face:
    """One face in a photo. `score`, 0..1, is the detector's."""

    box: Box
    score: float
    mesh: Mesh = field(repr=False)


class Status(StrEnum):
    """What the check says of a photo."""

    ACCEPTED = "accepted"
    WARNED = "warned"
    CHOOSE_FACE = "choose_face"
    REFUSED = "refused"


@dataclass(frozen=True)
class Measurements:
    """Scalars of one face that the photo rules judge. Units in the names; lightness is CIE L, 0..100."""

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
    """Status, the reasons for it (worst first) and the index of the face it is about, if one is settled."""

    status: Status
    reasons: tuple[Reason, ...] = ()
    face: int | None = None


@dataclass(frozen=True, eq=False)
class PhotoCheck:
    """What the check found: every face, widest first, its measurements, and the verdict."""

    verdict: Verdict
    faces: tuple[Face, ...] = ()
    measurements: tuple[Measurements, ...] = ()


@dataclass(frozen=True, eq=False)
class SourcePhoto:
    """One photo of the person: pixels, which face is theirs, and the other faces in it."""

    pixels: Pixels = field(repr=False)
    face: Face
    bystanders: tuple[Face, ...] = ()


@dataclass(frozen=True)
class StyleSpec:
    """A look: which set stands behind the person, from where the light comes and how the picture is graded.

    Scales are 0..1 unless said; `key_light` is the direction to the main light
    (x to the right of the picture, y down, z to the viewer).
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
    # For an engine that draws a new picture. Empty and None: as its looks.toml has them under this look's name.
    prompt: str = ""
    negative: str = ""
    guidance_scale: float | None = None
    control_scale: float | None = None
    adapter_scale: float | None = None


class Framing(StrEnum):
    """How near the person is and where they stand in the picture."""

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
    """Where the lamps stand: as the look has them, nearer the camera, to the side, or above."""

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
    """Decade of life, coarse on purpose."""

    TWENTIES = "twenties"
    THIRTIES = "thirties"
    FORTIES = "forties"
    FIFTIES = "fifties"
    SIXTIES = "sixties"
    SEVENTIES = "seventies"


class Hair(StrEnum):
    """Hair as a prompt names it."""

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
    """What the person wears in the pictures."""

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
    """What a person said about themselves by choosing from closed lists: asked, never guessed.

    None means not said. Only engines that draw a new picture read it. Private like a photo: never stored in a table."""

    kind: PersonKind = PersonKind.PERSON
    age: AgeBand | None = None
    hair: Hair | None = None
    glasses: bool = False
    headscarf: bool = False
    outfit: Outfit | None = None


@dataclass(frozen=True)
class Shot:
    """One headshot to be made: the same shot of the same subject gives the same pixels."""

    index: int
    style: StyleSpec
    seed: int
    self_description: SelfDescription = SelfDescription()
    framing: Framing = Framing.CLASSIC
    light: Light = Light.KEY


@dataclass(frozen=True, eq=False, repr=False)
class Subject:
    """One person, prepared by one engine for one size. Engines subclass it with what they need to know."""

    engine: str
    size: Size

    def __repr__(self) -> str:
        # Whatever an engine adds is the person: it must not reach a log through an exception or an assert.
        return f"{type(self).__name__}({self.engine!r}, {self.size})"


@dataclass(frozen=True, eq=False)
class Job:
    """A shot of a subject; one call of `render` may hold several people."""

    subject: Subject
    shot: Shot


class DigitalSource(StrEnum):
    """How a picture came about, in the words of IPTC's list of digital source types."""

    TRAINED = "trainedAlgorithmicMedia"
    COMPOSITE_WITH_TRAINED = "compositeWithTrainedAlgorithmicMedia"
    COMPOSITE = "composite"


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished rendering of one job, and what it has to be marked as."""

    job: Job
    pixels: Pixels = field(repr=False)
    digital_source: DigitalSource = DigitalSource.TRAINED


class Progress(Protocol):
    """Called with the finished share, 0..1, of the work in hand; may raise Canceled."""

    def __call__(self, share: float) -> None: ...


def ignore_progress(share: float) -> None:
    """For callers that wait however long it takes."""


def within(on_progress: Progress, start: float, share: float) -> Progress:
    """A callback for a part of the work that begins at `start` and is `share` of the whole."""
    return lambda part: on_progress(start + part * share)


class Engine(Protocol):
    """Makes headshots. Implementations: studio, fake (tests), instantid."""

    name: str

    def capacity(self, size: Size) -> int:
        """How many pictures of this size the engine likes to make at once."""
        ...

    def prepare(self, photos: Sequence[SourcePhoto], size: Size, on_progress: Progress = ignore_progress) -> Subject:
        """The person in these photos (best first), ready for `render`. Raises FaceNotFound."""
        ...

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        """One picture a job, in the order of the jobs, each (size.height, size.width, 3)."""
        ...


@runtime_checkable
class SubjectSerializer(Protocol):
    """An engine whose prepared subjects can be handed to other processes. Implementations: studio, fake."""

    def is_expensive_to_prepare(self, size: Size) -> bool:
        """Return True if preparing a subject for this size takes so long that it must not be done twice."""
        ...

    def serialize(self, subject: Subject) -> bytes:
        """Return the subject as bytes, private like a photo. Raises ValueError for one of another engine."""
        ...

    def deserialize(self, data: bytes, size: Size) -> Subject:
        """Restore a serialized subject, prepared for `size`. Raises ValueError for bytes of another release."""
        ...
