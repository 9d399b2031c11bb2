"""Create engines by name, and report what each engine needs to run.

Importing this module loads no engine.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from pipeline.diffusion.optimizations import compiler_fault
from pipeline.engines.instantid import missing_packages
from pipeline.engines.instantid.options import PARTS_GROUP, InstantIDOptions, build_config, needed_weights
from pipeline.errors import EngineUnavailable
from pipeline.types import Engine, Progress
from pipeline.weights import Weights

EngineName = Literal["auto", "studio", "instantid", "fake"]
# Engines that make pictures. A watermark names one of them.
ENGINES = ("studio", "instantid", "fake")
# Choices shown to users. The fake engine is for tests.
ENGINE_CHOICES = ("auto", "studio", "instantid")
# Engines that generate new pictures. Only these engines use the customer's self-description.
GENERATIVE_ENGINES = frozenset({"instantid"})

STUDIO_MODULES = ("cv2", "scipy", "ai_edge_litert", "dlib")
STUDIO_WEIGHTS = ("blazeface_short", "blazeface_full", "face_mesh", "person_mask", "dlib_face")
DEFAULT_OPTIONS = InstantIDOptions()
INSTALL_COMMAND = "python3 run.py --engine instantid"


@dataclass(frozen=True)
class EngineStatus:
    """The state of one engine on this machine.

    Attributes:
        name: name of the engine.
        ready: True if the engine can run.
        missing: one sentence per missing part.
        notes: one sentence per useful fact, such as the device.
    """

    name: str
    ready: bool
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()


def create_engine(
    name: EngineName,
    weights: Weights,
    options: InstantIDOptions = DEFAULT_OPTIONS,
    on_progress: Progress = lambda share: None,
) -> Engine:
    """Create the engine of this name and load its models.

    `auto` selects InstantID if it is installed, and studio otherwise. If the selected engine cannot run, no other
    engine replaces it.
    Raises WeightsError if weights are missing or damaged, or if their license does not allow this use. Raises
    EngineUnavailable if the engine cannot run for any other reason."""
    if name == "auto":
        name = choose_engine(weights)
    if name == "fake":
        from pipeline.engines.fake import FakeEngine

        return FakeEngine()
    if name == "studio":
        if absent := missing_modules(STUDIO_MODULES):
            raise EngineUnavailable(f"The studio engine cannot run here: {' '.join(absent)}")
        from pipeline.engines.studio import StudioEngine

        return StudioEngine(weights)
    if name == "instantid":
        if absent := missing_packages():
            raise EngineUnavailable(
                f"The InstantID engine needs packages that are not installed: {', '.join(absent)}. "
                f"Fix: {INSTALL_COMMAND}"
            )
        from pipeline.diffusion.device import choose_mode
        from pipeline.engines.instantid.engine import InstantIDEngine

        if options.fault:
            raise EngineUnavailable(options.fault)
        # Check the device first, because hashing 12 GB of weights takes long.
        choose_mode(options.device, options.chosen_optimizations)
        return InstantIDEngine(build_config(weights, options), on_progress)
    raise EngineUnavailable(f"There is no engine called {name!r}; known: {', '.join(ENGINE_CHOICES)}.")


def choose_engine(weights: Weights) -> EngineName:
    """Return the engine that `auto` selects with these weights."""
    return "instantid" if weights.is_installed(PARTS_GROUP) else "studio"


def engine_status(
    weights: Weights, options: InstantIDOptions = DEFAULT_OPTIONS, *, instantid_wanted: bool = False
) -> list[EngineStatus]:
    """Return the status of all engines that render real headshots.

    Examines InstantID only if it is installed or `instantid_wanted` is set."""
    faults = (weights.problem(name) for name in STUDIO_WEIGHTS)
    missing = (*missing_modules(STUDIO_MODULES), *(fault for fault in faults if fault))
    return [EngineStatus("studio", not missing, missing), instantid_status(weights, options, wanted=instantid_wanted)]


def instantid_status(weights: Weights, options: InstantIDOptions, *, wanted: bool) -> EngineStatus:
    """Return the status of InstantID.

    If all other requirements are met, loads the networks as a final test."""
    if not (wanted or weights.is_installed(PARTS_GROUP)):
        return EngineStatus("instantid", False, (f"Not installed. To install it, run: {INSTALL_COMMAND}",))
    if absent := missing_packages():
        faults = tuple(f"The Python package {name} is not installed (extra gpu)." for name in absent)
        return EngineStatus("instantid", False, faults)
    from pipeline.engines.instantid.diagnostics import device_note, load_fault

    missing: list[str] = [options.fault] if options.fault else []
    notes: list[str] = []
    if not options.fault:
        try:
            notes.append(device_note(options))
        except EngineUnavailable as error:
            missing.append(str(error))
        if warning := compiler_fault(options.chosen_optimizations):
            notes.append(warning)
        try:
            names = needed_weights(weights, options)
        except EngineUnavailable as error:
            missing.append(str(error))
        else:
            missing += [fault for name in names if (fault := weights.problem(name))]
            missing += [fault for name in names if (fault := weights.licenses.fault(weights.catalog.weights[name]))]
    if not missing and (broken := load_fault(build_config(weights, options))):
        missing.append(broken)
    return EngineStatus("instantid", not missing, tuple(missing), tuple(notes))


def missing_modules(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return one sentence for each Python module that is not installed."""
    return tuple(f"The Python module {name} is not installed." for name in names if find_spec(name) is None)
