"""The engines by name, and what each needs to run here. Importing this loads none of them."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

from pipeline.errors import EngineUnavailable
from pipeline.types import Engine
from pipeline.weights import Weights

EngineName = Literal["auto", "studio", "fake"]

STUDIO_MODULES = ("cv2", "scipy", "ai_edge_litert", "dlib")
STUDIO_WEIGHTS = ("blazeface_short", "blazeface_full", "face_mesh", "person_mask", "dlib_face")


@dataclass(frozen=True)
class EngineStatus:
    """Whether an engine can run here, and one sentence for each thing that is missing."""

    name: str
    ready: bool
    missing: tuple[str, ...]


def create_engine(name: EngineName, weights: Weights) -> Engine:
    """The engine of that name, its models loaded; `auto` is the best one that is installed.

    Raises WeightsError when a weight is missing, EngineUnavailable when something else is."""
    if name == "fake":
        from pipeline.engines.fake import FakeEngine

        return FakeEngine()
    if name in ("auto", "studio"):
        if absent := missing_modules(STUDIO_MODULES):
            raise EngineUnavailable(f"The studio engine cannot run here: {' '.join(absent)}")
        from pipeline.engines.studio import StudioEngine

        return StudioEngine(weights)
    raise EngineUnavailable(f"There is no engine called {name!r}; known: {', '.join(get_args(EngineName))}.")


def engine_status(weights: Weights) -> list[EngineStatus]:
    """Every engine that makes real headshots, best first."""
    faults = (weights.problem(name) for name in STUDIO_WEIGHTS)
    missing = (*missing_modules(STUDIO_MODULES), *(fault for fault in faults if fault))
    return [EngineStatus("studio", not missing, missing)]


def missing_modules(names: tuple[str, ...]) -> tuple[str, ...]:
    """A sentence for each Python module that is not installed."""
    return tuple(f"The Python module {name} is not installed." for name in names if find_spec(name) is None)
