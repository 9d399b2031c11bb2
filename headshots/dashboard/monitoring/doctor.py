"""Describe this installation for its operator: engines, weights and settings."""

import sys
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core import checks
from django.core.checks import ERROR

from headshots import engine
from headshots.launch.requirements import describe_gpu
from headshots.vault import services as vault
from headshots.vault.errors import VaultUnavailable
from headshots.vault.key_server import unsafe_reason_for_headshots, unsafe_reason_for_photos
from headshots.vault.memory import filesystem_type, is_in_memory, swap_places, unencrypted_swap
from headshots.vault.models import Ring
from headshots.vault.rings import describe_location, ring_base, ring_url
from headshots.vault.s3_store import anybody_can_list


@dataclass(frozen=True)
class InstallationReport:
    """The result of `inspect_installation`.

    ready: True if the configured engine can work. engines, engine_lines: the pipeline's report, as data and as text.
    settings: descriptions by name. failed_checks: messages of Django's system checks."""

    ready: bool
    engines: dict[str, object]
    engine_lines: list[str]
    settings: dict[str, str]
    failed_checks: list[str]

    @property
    def healthy(self) -> bool:
        return self.ready and not self.failed_checks

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        width = max(map(len, self.settings))
        around = [f"  {name:{width}}  {description}" for name, description in self.settings.items()]
        broken = [f"  {rule}" for rule in self.failed_checks]
        return [*self.engine_lines, "settings", *around, *(["failed checks", *broken] if broken else [])]


def inspect_installation() -> InstallationReport:
    """Inspect engines, weights, settings and system checks without changing anything.

    Failed checks and unreadable engines are part of the report, not exceptions."""
    try:
        found = engine.diagnose()
    except engine.PipelineError as error:
        found = engine.Diagnosis(False, {}, [f"engines could not be examined: {error}"])
    broken = [
        message.msg if not message.hint else f"{message.msg} {message.hint}"
        for message in checks.run_checks(include_deployment_checks=not settings.DEBUG)
        if message.level >= ERROR
    ]
    return InstallationReport(found.ready, found.report, found.lines, describe_settings(), broken)


def describe_settings() -> dict[str, str]:
    """Return a short description of each group of settings, by name. Contains no secrets."""
    return {
        "engine": settings.HEADSHOTS_ENGINE,
        "GPU": describe_gpu(),
        "payments": describe_payments(),
        "license statement": settings.HEADSHOTS_LICENSE_STATEMENT or "none (HEADSHOTS_LICENSE_STATEMENT is not set)",
        "file signing": describe_signature(),
        "photo keys": describe_ring(Ring.SOURCE),
        "headshot keys": describe_ring(Ring.RESULT),
        "encrypted files": describe_store(),
        "swap": describe_swap(),
    }


def describe_payments() -> str:
    """Describe whether payments are live, in test mode or off, from the kind of Stripe's key."""
    if settings.HEADSHOTS_LIVE_PAYMENTS:
        return "live (weights not for commercial use need a license statement)"
    return "Stripe test mode" if settings.HEADSHOTS_STRIPE_SECRET_KEY else "none"


def describe_signature() -> str:
    """Describe the certificate that signs finished files, or why it cannot sign."""
    if settings.HEADSHOTS_C2PA_KEY_FILE is None and settings.HEADSHOTS_C2PA_CERTIFICATE_FILE is None:
        return "test certificate, which proves nothing (HEADSHOTS_C2PA_CERTIFICATE_FILE is not set)"
    return engine.signing_fault() or f"certificate of the operator, {settings.HEADSHOTS_C2PA_CERTIFICATE_FILE}"


def describe_ring(ring: Ring) -> str:
    """Describe where the keys of a ring are stored, and whether that is in memory."""
    if url := ring_url(ring):
        return describe_ring_server(ring, url)
    base = ring_base(ring)
    if is_in_memory(base):
        return f"{base}, in memory"
    return f"{base}, on {filesystem_type(base) or 'an unknown file system'}"


def describe_ring_server(ring: Ring, url: str) -> str:
    """Describe whether a Redis server is safe for its ring.

    Keys of photos must not be persisted or evicted. Keys of headshots must not be lost."""
    place = describe_location(ring)
    try:
        if ring is Ring.SOURCE:
            reason = unsafe_reason_for_photos(url)
            return f"{place}: {reason}" if reason else f"{place}, which neither persists nor evicts keys"
        reason = unsafe_reason_for_headshots(url)
        return f"{place}: {reason}" if reason else f"{place}, which persists its keys"
    except VaultUnavailable:
        return f"{place}, which is unreachable"


def describe_store() -> str:
    """Describe where encrypted pictures are stored, and whether anyone can list them."""
    bucket: str = settings.HEADSHOTS_S3_BUCKET
    if not bucket:
        return str(settings.HEADSHOTS_DATA_DIR / "blobs")
    place = f"bucket {bucket} at {settings.HEADSHOTS_S3_ENDPOINT or 'Amazon S3'}"
    try:
        if anybody_can_list(settings.HEADSHOTS_S3_ENDPOINT, settings.HEADSHOTS_S3_REGION, bucket):
            return f"{place}: ANYONE CAN LIST IT. Its files are encrypted, but make the bucket private."
        next(vault.blob_store().ids(Ring.SOURCE), None)
    except VaultUnavailable as error:
        return f"{place}: {error}"
    return f"{place}, private"


def describe_swap(table: Path = Path("/proc/swaps")) -> str:
    """Describe whether memory, with its keys and pictures, can be swapped to a disk unencrypted."""
    if sys.platform == "darwin":
        return "encrypted by macOS"
    if not table.exists():
        return f"unknown on {sys.platform}"
    if not swap_places(table):
        return "none"
    to_disk = unencrypted_swap(table)
    if not to_disk:
        return "in memory or encrypted"
    if settings.HEADSHOTS_SWAP_IS_ENCRYPTED:
        return f"{', '.join(to_disk)}: encrypted, according to HEADSHOTS_SWAP_IS_ENCRYPTED"
    return (
        f"{', '.join(to_disk)}: keys and pictures can be written to it. Turn swap off, or encrypt it with a random key."
    )
