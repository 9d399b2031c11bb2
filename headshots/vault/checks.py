"""System checks of the vault: key rings must be private and separate from the data, and photo keys must expire."""

from pathlib import Path

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

from headshots.vault.errors import VaultUnavailable
from headshots.vault.key_server import (
    URL_KINDS,
    unsafe_reason_for_headshots,
    unsafe_reason_for_photos,
    without_password,
)
from headshots.vault.memory import is_in_memory, unencrypted_swap
from headshots.vault.models import Ring
from headshots.vault.private_files import unsafe_reason
from headshots.vault.rings import MAX_PHOTO_TTL, ring_base, ring_folder, ring_url

# The prefix of each ring's settings.
_SETTINGS = {Ring.SOURCE: "HEADSHOTS_PHOTO_KEYS", Ring.RESULT: "HEADSHOTS_HEADSHOT_KEYS"}


@register(Tags.security)
def check_source_ttl(**_: object) -> list[CheckMessage]:
    seconds, most = settings.HEADSHOTS_PHOTO_TTL_SECONDS, int(MAX_PHOTO_TTL.total_seconds())
    if 1 <= seconds <= most:
        return []
    hint = "It may be shorter, never longer: people are told that their photos are gone within 24 hours."
    return [Error(f"HEADSHOTS_PHOTO_TTL_SECONDS must be 1 to {most}, not {seconds}.", hint=hint, id="vault.E001")]


@register(Tags.security)
def check_rings_are_separate(**_: object) -> list[CheckMessage]:
    data = Path(settings.HEADSHOTS_DATA_DIR).resolve()
    bases = {ring: ring_base(ring).resolve() for ring in Ring if not ring_url(ring)}
    found: list[CheckMessage] = [
        Error(
            f"The {ring.value} key ring lies below the data folder.",
            hint=f"Point {_SETTINGS[ring]}_DIR elsewhere: a backup of the data would hold its keys.",
            id="vault.E002",
        )
        for ring, base in bases.items()
        if base.is_relative_to(data)
    ]
    if len(bases) == 2 and bases[Ring.SOURCE] == bases[Ring.RESULT]:
        found.append(Error("Both key rings lie in one folder.", id="vault.E003"))
    if ring_url(Ring.SOURCE) and ring_url(Ring.SOURCE) == ring_url(Ring.RESULT):
        hint = "Keys of photos need a server that keeps nothing, keys of headshots one that keeps."
        found.append(Error("Both key rings lie on one server.", hint=hint, id="vault.E003"))
    return found


@register(Tags.security)
def check_rings_are_private(**_: object) -> list[CheckMessage]:
    if not (Path(settings.HEADSHOTS_DATA_DIR) / "id").exists():
        # Nothing has been started here yet. `ring_folder` would create the data folder, which a check must not do.
        return []
    return [
        Error(f"The {ring.value} key ring is not private: {reason}.", hint=str(folder), id="vault.E004")
        for ring in Ring
        if not ring_url(ring) and (folder := ring_folder(ring)).is_dir() and (reason := unsafe_reason(folder))
    ]


@register(Tags.security)
def check_source_ring_is_in_memory(**_: object) -> list[CheckMessage]:
    base = ring_base(Ring.SOURCE)
    if ring_url(Ring.SOURCE) or is_in_memory(base):
        return []
    message = f"The source key ring lies in {base}, which is not known to be in memory only."
    hint = "A disk can keep the keys of photos after they were erased. Point HEADSHOTS_PHOTO_KEYS_DIR to a tmpfs."
    return [checks.Warning(message, hint=hint, id="vault.W001")]


@register(Tags.security)
def check_ring_servers(**_: object) -> list[CheckMessage]:
    """Check the URLs and the configuration of the key servers.

    A server of photo keys must write nothing to disk and evict nothing. A server of headshot keys must keep its keys.
    A server that does not answer only causes a warning."""
    urls = {ring: ring_url(ring) for ring in Ring if ring_url(ring)}
    found: list[CheckMessage] = [
        Error(f"{_SETTINGS[ring]}_URL must begin with {' or '.join(URL_KINDS)}.", id="vault.E005")
        for ring, url in urls.items()
        if not url.startswith(URL_KINDS)
    ]
    return found or [finding for ring, url in urls.items() if (finding := _check_server(ring, url))]


def _check_server(ring: Ring, url: str) -> CheckMessage | None:
    place = without_password(url)
    try:
        if ring is Ring.SOURCE:
            reason = unsafe_reason_for_photos(url)
            return Error(f"Keys of photos must not lie on {place}: {reason}.", id="vault.E006") if reason else None
        reason = unsafe_reason_for_headshots(url)
        return checks.Warning(f"{place} for keys of headshots: {reason}.", id="vault.W004") if reason else None
    except VaultUnavailable:
        message = f"The server of the {ring.value} key ring, {place}, does not answer: what it keeps is not known."
        return checks.Warning(message, id="vault.W003")


@register(Tags.security)
def check_bucket(**_: object) -> list[CheckMessage]:
    endpoint = settings.HEADSHOTS_S3_ENDPOINT
    if endpoint and not endpoint.startswith(("https://", "http://")):
        return [Error("HEADSHOTS_S3_ENDPOINT must begin with https:// or http://.", id="vault.E007")]
    if settings.HEADSHOTS_S3_BUCKET:
        return []
    given = [name for name in ("ENDPOINT", "REGION", "PREFIX") if getattr(settings, f"HEADSHOTS_S3_{name}")]
    if not given:
        return []
    return [Error(f"HEADSHOTS_S3_{given[0]} is set, HEADSHOTS_S3_BUCKET is not.", id="vault.E007")]


@register(Tags.security)
def check_swap(**_: object) -> list[CheckMessage]:
    places = [] if settings.HEADSHOTS_SWAP_IS_ENCRYPTED else unencrypted_swap()
    if not places:
        return []
    hint = (
        "Turn it off, or encrypt it with a key that is random at each start (crypttab: /dev/urandom). If it is"
        " encrypted and the system does not show it, say so with HEADSHOTS_SWAP_IS_ENCRYPTED=1."
    )
    message = f"Keys and pictures can reach a disk through the swap in {', '.join(places)}."
    return [checks.Warning(message, hint=hint, id="vault.W002")]
