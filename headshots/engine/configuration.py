"""Turn settings into the pipeline's configuration: engine, weights, signing identity, and what is wrong with them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from django.conf import settings

from pipeline.engines import ENGINE_CHOICES, GENERATIVE_ENGINES, EngineName, choose_engine
from pipeline.engines.doctor import DeviceState, examine, get_device_state
from pipeline.engines.instantid.options import InstantIDOptions, needed_weights
from pipeline.errors import PipelineError, SigningFailed
from pipeline.identity.calibration import Calibration, built_in, load_calibration
from pipeline.weights import CATALOG, DEFAULT_DIR, LicensePolicy, Weights, load_catalog

if TYPE_CHECKING:
    from pipeline.files.signing import Identity


@dataclass(frozen=True)
class Diagnosis:
    """What the pipeline's doctor says: whether the engine that is set can run, as plain values and as lines."""

    ready: bool
    report: dict[str, object]
    lines: list[str]


def configured_name() -> EngineName:
    """The engine that the settings name; `auto` is a choice of its own."""
    name: EngineName = settings.HEADSHOTS_ENGINE
    return name


def options() -> InstantIDOptions:
    """How the InstantID engine is to work."""
    return InstantIDOptions(
        checkpoint=settings.HEADSHOTS_INSTANTID_CHECKPOINT,
        device=settings.HEADSHOTS_INSTANTID_DEVICE,
        optimizations=tuple(settings.HEADSHOTS_INSTANTID_OPTIMIZATIONS),
        steps=settings.HEADSHOTS_INSTANTID_STEPS,
        canvas_pixels=settings.HEADSHOTS_INSTANTID_CANVAS_PIXELS,
        max_batch=settings.HEADSHOTS_INSTANTID_MAX_BATCH,
    )


def open_weights() -> Weights:
    """The folder of weights, the operator's own catalog and licenses with it."""
    own = settings.HEADSHOTS_WEIGHTS_CATALOG
    return Weights(
        Path(settings.HEADSHOTS_WEIGHTS_DIR or DEFAULT_DIR),
        CATALOG.with_changes(load_catalog(own)) if own else CATALOG,
        LicensePolicy(settings.HEADSHOTS_LIVE_PAYMENTS, settings.HEADSHOTS_LICENSE_STATEMENT),
    )


def load_identity() -> "Identity | None":
    """The operator's; None when none is set. Raises OSError, SigningFailed."""
    from pipeline.files import signing

    key, certificates = settings.HEADSHOTS_C2PA_KEY_FILE, settings.HEADSHOTS_C2PA_CERTIFICATE_FILE
    if key is None and certificates is None:
        return None
    if key is None or certificates is None:
        raise SigningFailed("HEADSHOTS_C2PA_KEY_FILE and HEADSHOTS_C2PA_CERTIFICATE_FILE belong together.")
    return signing.load_identity(key.read_bytes(), certificates.read_bytes())


@cache
def calibration() -> Calibration:
    """What turns a distance into the likeness that people are shown: the operator's, or the one that ships.

    Raises PipelineError over a file that holds none."""
    own = settings.HEADSHOTS_LIKENESS_CALIBRATION
    return load_calibration(own) if own else built_in()


def is_generative(engine: str) -> bool:
    """Return True if the engine of that name draws a new picture of the person, and so may miss them."""
    return engine in GENERATIVE_ENGINES


def engine_name() -> str:
    """The name of the engine that makes the pictures here; nothing is loaded, the render worker alone does that."""
    name = configured_name()
    return choose_engine(open_weights()) if name == "auto" else name


def device() -> DeviceState:
    """What this process' engine runs on."""
    return get_device_state(settings.HEADSHOTS_INSTANTID_DEVICE if engine_name() == "instantid" else "cpu")


def uses_generative_engine() -> bool:
    """Return True if the engine here draws new pictures, so that it matters what people say about themselves."""
    return is_generative(engine_name())


@cache
def identity() -> "Identity":
    """Who signs what this process makes, tried out once: the operator, or a test certificate that says it is one."""
    from pipeline.files.signing import check_signing, make_test_identity

    try:
        identity = load_identity() or make_test_identity("Unknown operator")
    except OSError as error:
        raise SigningFailed(f"The key or the certificate cannot be read: {error.strerror}") from error
    check_signing(identity)
    return identity


def refusals() -> list[str]:
    """Why the engine that is set must not run with these settings, found without touching a weight."""
    name, requested = configured_name(), options()
    if name not in get_args(EngineName):
        return [f"There is no engine called {name!r}; known: {', '.join(ENGINE_CHOICES)} (HEADSHOTS_ENGINE)."]
    try:
        calibration()
        weights = open_weights()
        chosen = choose_engine(weights) if name == "auto" else name
        if chosen != "instantid":
            return []
        if requested.fault:
            return [requested.fault]
        wanted = [weights.catalog.weights[each] for each in needed_weights(weights, requested)]
        return [fault for weight in wanted if (fault := weights.licenses.fault(weight))]
    except PipelineError as error:
        return [str(error)]


def signing_fault() -> str | None:
    """What is wrong with the key and certificate that files are signed with, in one sentence."""
    try:
        load_identity()
    except (OSError, SigningFailed) as error:
        return f"The files cannot be signed with the key and certificate that are set: {error}"
    return None


def diagnose() -> Diagnosis:
    """A look at engines and weights with these settings; hashes every file. Raises PipelineError over a bad one."""
    found = examine(open_weights(), options(), configured_name())
    return Diagnosis(found.ready, found.as_json(), found.lines())
