"""Shared data types of the pipeline (immutable dataclasses) and the Engine protocol."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Reason

Pixels = NDArray[np.uint8]
"""An upright sRGB image, (H, W, 3) uint8."""

Embedding = NDArray[np.float32]
"""A face embedding from dlib, (128,) float32. A small Euclidean distance means the same person."""

Mesh = NDArray[np.float32]
"""A face mesh, (468, 3) float32, in MediaPipe's point order. x and y are pixels of the photo. z has the same scale."""


@dataclass(frozen=True)
class Size:
    """Width and height of a picture in pixels."""

    width: int
    height: int

    @property
    def long_edge(self) -> int:
        return max(self.width, self.height)


# Previews have an aspect ratio of 4:5 and about one megapixel. The other aspect ratios are optional.
PREVIEW = Size(896, 1120)
PREVIEW_SQUARE = Size(1024, 1024)
PREVIEW_THREE_TO_FOUR = Size(864, 1152)
PREVIEW_BANNER = Size(1344, 756)
# Premium pictures are 4K: their long edge has 3,840 px.
PREMIUM = Size(3072, 3840)
PREMIUM_SQUARE = Size(3840, 3840)
PREMIUM_THREE_TO_FOUR = Size(2880, 3840)
PREMIUM_BANNER = Size(3840, 2160)


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the photo. Can extend beyond the photo's borders."""

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
        """Return this rectangle in the coordinates of a photo that was enlarged by `factor`."""
        return Box(self.left * factor, self.top * factor, self.right * factor, self.bottom * factor)


@dataclass(frozen=True, eq=False)
class Face:
    """One face in a photo.

    Attributes:
        box: bounding box of the face.
        score: confidence of the detector, 0..1.
        mesh: the 468 points of the face.
    """

    box: Box
    score: float
    mesh: Mesh = field(repr=False)


class Status(StrEnum):
    """The outcome of checking a photo."""

    ACCEPTED = "accepted"
    WARNED = "warned"
    CHOOSE_FACE = "choose_face"
    REFUSED = "refused"


@dataclass(frozen=True)
class Measurements:
    """Measurements of one face, which the photo rules judge.

    Field names end with the unit. Lightness is CIE L, 0..100. Shares are fractions, 0..1."""

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
    # 1 for faces that were measured by releases without this field.
    detail_share: float = 1.0
    # Probability of a child's face. 0 if it was not estimated, because the person is known to be an adult.
    child_share: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """The outcome of checking a photo, with the reasons.

    Attributes:
        status: the outcome.
        reasons: why the photo was refused or warned about, worst first.
        face: index of the judged face, or None if no single face was judged.
    """

    status: Status
    reasons: tuple[Reason, ...] = ()
    face: int | None = None


@dataclass(frozen=True, eq=False)
class PhotoCheck:
    """The complete result of checking a photo.

    Attributes:
        verdict: status and reasons.
        faces: all faces in the photo, widest first.
        measurements: measurements of each face, in the same order.
    """

    verdict: Verdict
    faces: tuple[Face, ...] = ()
    measurements: tuple[Measurements, ...] = ()


@dataclass(frozen=True, eq=False)
class SourcePhoto:
    """One photo of the person, the input of an engine.

    Attributes:
        pixels: the photo.
        face: the person's face.
        bystanders: all other faces in the photo.
    """

    pixels: Pixels = field(repr=False)
    face: Face
    bystanders: tuple[Face, ...] = ()


@dataclass(frozen=True)
class StyleSpec:
    """A style (called "look" in the UI): backdrop, lighting and color grading of a headshot.

    Values are 0..1 unless stated otherwise. styles/rules.py has the exact range of each.

    Attributes:
        set: name of the backdrop.
        key_light: direction toward the key light: x to the right of the picture, y down, z toward the viewer.
        key: strength of the key light.
        rim: strength of the rim light behind the person.
        wrap: how far the backdrop's glow spills over the person's edges.
        tint: how strongly the backdrop's color tints the person.
        contrast: strength of the tone curve.
        saturation: factor on the colors, 0..1.5.
        vignette: how much the corners are darkened.
        monochrome: True for black and white.
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
    # Read by generative engines only. Empty and None select the value that the engine's looks.toml has for this style.
    prompt: str = ""
    negative: str = ""
    guidance_scale: float | None = None
    control_scale: float | None = None
    adapter_scale: float | None = None


class Framing(StrEnum):
    """The crop of a headshot: how close the camera is, and the person's horizontal position."""

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
    """The position of the key light: as the style defines it, closer to the camera, to the side, or higher."""

    KEY = "key"
    FRONT = "front"
    SIDE = "side"
    HIGH = "high"


class PersonKind(StrEnum):
    """The noun that a prompt uses for the person."""

    PERSON = "person"
    WOMAN = "woman"
    MAN = "man"


class AgeBand(StrEnum):
    """The person's age by decade. Finer steps are not collected on purpose."""

    TWENTIES = "twenties"
    THIRTIES = "thirties"
    FORTIES = "forties"
    FIFTIES = "fifties"
    SIXTIES = "sixties"
    SEVENTIES = "seventies"


class Hair(StrEnum):
    """Hairstyles that a person can select for the prompt."""

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
    """Clothes that a person can select for the pictures."""

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
    """A person's description of themselves. They select each value from a list, and nothing is guessed.

    None and False mean that the person did not say it: a prompt then neither asks for it nor excludes it. Only
    generative engines use the description. It is as private as a photo and is never stored in a database table."""

    kind: PersonKind = PersonKind.PERSON
    age: AgeBand | None = None
    hair: Hair | None = None
    beard: bool = False
    glasses: bool = False
    headscarf: bool = False
    outfit: Outfit | None = None


@dataclass(frozen=True)
class Shot:
    """The plan of one headshot.

    An engine renders the same pixels again for the same subject and shot."""

    index: int
    style: StyleSpec
    seed: int
    self_description: SelfDescription = SelfDescription()
    framing: Framing = Framing.CLASSIC
    light: Light = Light.KEY


@dataclass(frozen=True, eq=False, repr=False)
class Subject:
    """One person, prepared by one engine for one picture size. Each engine adds its own fields in a subclass."""

    engine: str
    size: Size

    def __repr__(self) -> str:
        # Leave out the fields that engines add, because they describe the person. Exceptions and failed asserts would
        # otherwise log them.
        return f"{type(self).__name__}({self.engine!r}, {self.size})"


@dataclass(frozen=True, eq=False)
class Job:
    """One shot of one subject. A single call of `render` can mix jobs of several people."""

    subject: Subject
    shot: Shot


class DigitalSource(StrEnum):
    """The origin of a picture, as a term from IPTC's vocabulary of digital source types."""

    TRAINED = "trainedAlgorithmicMedia"
    COMPOSITE_WITH_TRAINED = "compositeWithTrainedAlgorithmicMedia"
    COMPOSITE = "composite"


@dataclass(frozen=True, eq=False)
class Picture:
    """The rendered picture of one job.

    `digital_source` is the IPTC digital source type to write into the files."""

    job: Job
    pixels: Pixels = field(repr=False)
    digital_source: DigitalSource = DigitalSource.TRAINED


class Progress(Protocol):
    """A callback that receives the finished fraction of the work, 0..1. Can raise Canceled to stop the work."""

    def __call__(self, share: float) -> None: ...


def ignore_progress(share: float) -> None:
    """Do nothing. The default progress callback of callers that do not report progress."""


def within(on_progress: Progress, start: float, share: float) -> Progress:
    """Return a progress callback for one part of a job.

    The part starts at the fraction `start` of the whole job and is the fraction `share` of it."""
    return lambda part: on_progress(start + part * share)


class Engine(Protocol):
    """An engine that renders headshots. Implementations: studio, instantid, and fake (for tests)."""

    name: str

    def capacity(self, size: Size) -> int:
        """Return the preferred number of pictures of this size per batch."""
        ...

    def prepare(self, photos: Sequence[SourcePhoto], size: Size, on_progress: Progress = ignore_progress) -> Subject:
        """Prepare the person in these photos (best first) for `render`.

        Raises FaceNotFound."""
        ...

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        """Yield one picture per job, in order. Each picture is (size.height, size.width, 3)."""
        ...


@runtime_checkable
class SubjectSerializer(Protocol):
    """An engine whose prepared subjects can be stored and shared between processes. Implementations: studio, fake."""

    def is_expensive_to_prepare(self, size: Size) -> bool:
        """Return True if preparing a subject for this size is slow, so that the result should be stored."""
        ...

    def serialize(self, subject: Subject) -> bytes:
        """Serialize a prepared subject. The bytes are as private as a photo.

        Raises ValueError if another engine prepared the subject."""
        ...

    def deserialize(self, data: bytes, size: Size) -> Subject:
        """Restore a subject that was serialized for `size`.

        Raises ValueError if another release wrote the bytes."""
        ...
