"""Turn settings into the pipeline's configuration (engine, weights, signing identity) and report their faults."""

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

from django.conf import settings

from pipeline.engines import ENGINE_CHOICES, GENERATIVE_ENGINES, EngineName, choose_engine
from pipeline.engines.instantid.options import InstantIDOptions, needed_weights
from pipeline.engines.report import DeviceState, examine, get_device_state
from pipeline.errors import PipelineError, SigningFailed
from pipeline.identity.calibration import Calibration, built_in, load_calibration
from pipeline.types import DigitalSource
from pipeline.weights import CATALOG, DEFAULT_DIR, LicensePolicy, Weights, load_catalog

if TYPE_CHECKING:
    from pipeline.files.signing import Identity


@dataclass(frozen=True)
class Diagnosis:
    """The pipeline's report on engines and weights, with the configured engine.

    Attributes:
        ready: True if the engine can run.
        report: the findings as plain values, for JSON.
        lines: the findings as lines of text."""

    ready: bool
    report: dict[str, object]
    lines: list[str]


def configured_name() -> EngineName:
    """Return the engine name in the settings. The name can be `auto`."""
    name: EngineName = settings.HEADSHOTS_ENGINE
    return name


def options() -> InstantIDOptions:
    """Return the options of the InstantID engine from the settings."""
    return InstantIDOptions(
        checkpoint=settings.HEADSHOTS_INSTANTID_CHECKPOINT,
        device=settings.HEADSHOTS_INSTANTID_DEVICE,
        optimizations=tuple(settings.HEADSHOTS_INSTANTID_OPTIMIZATIONS),
        sampler=settings.HEADSHOTS_INSTANTID_SAMPLER,
        steps=settings.HEADSHOTS_INSTANTID_STEPS,
        canvas_pixels=settings.HEADSHOTS_INSTANTID_CANVAS_PIXELS,
        max_batch=settings.HEADSHOTS_INSTANTID_MAX_BATCH,
        proportions=settings.HEADSHOTS_INSTANTID_PROPORTIONS,
    )


def open_weights() -> Weights:
    """Return the weights folder with the operator's own catalog and license policy applied.

    Raises PipelineError for a catalog that cannot be used."""
    own = settings.HEADSHOTS_WEIGHTS_CATALOG
    return Weights(
        Path(settings.HEADSHOTS_WEIGHTS_DIR or DEFAULT_DIR),
        CATALOG.with_changes(load_catalog(own)) if own else CATALOG,
        LicensePolicy(settings.HEADSHOTS_LIVE_PAYMENTS, settings.HEADSHOTS_LICENSE_STATEMENT),
    )


def load_identity() -> "Identity | None":
    """Load the operator's signing identity, or return None if none is set. Raises OSError, SigningFailed."""
    from pipeline.files import signing
    from pipeline.files.time_authority import TimeAuthority

    key, certificates = settings.HEADSHOTS_C2PA_KEY_FILE, settings.HEADSHOTS_C2PA_CERTIFICATE_FILE
    url = settings.HEADSHOTS_C2PA_TIME_AUTHORITY
    if url and urlsplit(url).scheme not in {"http", "https"}:
        raise SigningFailed("HEADSHOTS_C2PA_TIME_AUTHORITY must be an http:// or https:// URL.")
    if key is None and certificates is None:
        if url:
            raise SigningFailed("HEADSHOTS_C2PA_TIME_AUTHORITY needs a key and a certificate of your own.")
        return None
    if key is None or certificates is None:
        raise SigningFailed("Set both HEADSHOTS_C2PA_KEY_FILE and HEADSHOTS_C2PA_CERTIFICATE_FILE, or neither.")
    identity = signing.load_identity(key.read_bytes(), certificates.read_bytes())
    return replace(identity, time_authority=TimeAuthority(url)) if url else identity


@cache
def calibration() -> Calibration:
    """Return the calibration that converts a face distance into the likeness shown to customers.

    Uses the operator's file if one is set, otherwise the built-in calibration.
    Raises PipelineError if the operator's file holds no calibration."""
    own = settings.HEADSHOTS_LIKENESS_CALIBRATION
    return load_calibration(own) if own else built_in()


def is_generative(engine: str) -> bool:
    """Return True if this engine draws a new picture of the person, whose likeness can therefore fail."""
    return engine in GENERATIVE_ENGINES


def digital_sources(engine: str) -> tuple[DigitalSource, ...]:
    """Return the IPTC digital source types that pictures of this engine can have."""
    if is_generative(engine):
        return (DigitalSource.TRAINED,)
    return DigitalSource.COMPOSITE, DigitalSource.COMPOSITE_WITH_TRAINED


def engine_name() -> str:
    """Return the name of the engine that renders here, with `auto` resolved.

    Loads no model: only the render worker does."""
    name = configured_name()
    return choose_engine(open_weights()) if name == "auto" else name


def device() -> DeviceState:
    """Return the state of the device that this process' engine runs on."""
    return get_device_state(settings.HEADSHOTS_INSTANTID_DEVICE if engine_name() == "instantid" else "cpu")


def uses_generative_engine() -> bool:
    """Return True if the engine here draws new pictures.

    Only such an engine uses the customer's self-description."""
    return is_generative(engine_name())


def watermark_keys() -> list[bytes]:
    """Return the secret keys of invisible watermarks. The first marks new pictures, and all are searched for.

    Without keys in the settings, the only key is derived from the secret key."""
    keys = [key.encode() for key in settings.HEADSHOTS_WATERMARK_KEYS]
    return keys or [hashlib.blake2b(b"watermark", key=settings.SECRET_KEY.encode()[:64]).digest()]


@cache
def identity() -> "Identity":
    """Return the identity that signs the files of this process, after one trial signature.

    Falls back to a test certificate if the operator has set no identity.
    Raises SigningFailed if the identity cannot be read or cannot sign."""
    from pipeline.files.signing import check_signing, make_test_identity

    try:
        identity = load_identity() or make_test_identity("Unknown operator")
    except OSError as error:
        raise SigningFailed(f"The signing key or certificate can't be read: {error.strerror}") from error
    check_signing(identity)
    return identity


def refusals() -> list[str]:
    """Return the reasons why the configured engine must not run with these settings.

    Reads no weight file. Returns an empty list if there is no reason."""
    name, requested = configured_name(), options()
    if name not in get_args(EngineName):
        return [f"HEADSHOTS_ENGINE is {name!r}, but must be one of: {', '.join(ENGINE_CHOICES)}."]
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
    """Return the fault of the signing key and certificate in one sentence, None if they can be used."""
    try:
        load_identity()
    except (OSError, SigningFailed) as error:
        return f"Files can't be signed with the configured key and certificate: {error}"
    return None


def diagnose() -> Diagnosis:
    """Examine engines and weights with these settings.

    Hashes every weight file. Raises PipelineError for a catalog that cannot be used."""
    found = examine(open_weights(), options(), configured_name())
    return Diagnosis(found.ready, found.as_json(), found.lines())
