"""System checks of the vault: a configuration in which forgetting would be a lie does not start."""

from pathlib import Path

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

from headshots.vault.memory import is_in_memory
from headshots.vault.private_files import why_unsafe
from headshots.vault.rings import MAX_SOURCE_TTL, Ring, ring_base, ring_folder


@register(Tags.security)
def check_source_ttl(**_: object) -> list[CheckMessage]:
    seconds, most = settings.HEADSHOTS_SOURCE_TTL_SECONDS, int(MAX_SOURCE_TTL.total_seconds())
    if 1 <= seconds <= most:
        return []
    hint = "It may be shorter, never longer: people are told that their photos are gone within 24 hours."
    return [Error(f"HEADSHOTS_SOURCE_TTL_SECONDS must be 1 to {most}, not {seconds}.", hint=hint, id="vault.E001")]


@register(Tags.security)
def check_rings_lie_apart(**_: object) -> list[CheckMessage]:
    data = Path(settings.HEADSHOTS_DATA_DIR).resolve()
    bases = {ring: ring_base(ring).resolve() for ring in Ring}
    found: list[CheckMessage] = [
        Error(
            f"The {ring.value} key ring lies below the data folder.",
            hint=f"Point HEADSHOTS_{ring.name}_RING_DIR elsewhere: a backup of the data would hold its keys.",
            id="vault.E002",
        )
        for ring, base in bases.items()
        if base.is_relative_to(data)
    ]
    if bases[Ring.SOURCE] == bases[Ring.RESULT]:
        found.append(Error("Both key rings lie in one folder.", id="vault.E003"))
    return found


@register(Tags.security)
def check_rings_are_private(**_: object) -> list[CheckMessage]:
    if not (Path(settings.HEADSHOTS_DATA_DIR) / "id").exists():
        # Nothing was started here yet, and a check makes no folders.
        return []
    return [
        Error(f"The {ring.value} key ring is not private: {reason}.", hint=str(folder), id="vault.E004")
        for ring in Ring
        if (folder := ring_folder(ring)).is_dir() and (reason := why_unsafe(folder))
    ]


@register(Tags.security)
def check_source_ring_is_in_memory(**_: object) -> list[CheckMessage]:
    base = ring_base(Ring.SOURCE)
    if is_in_memory(base):
        return []
    message = f"The source key ring lies in {base}, which is not known to be in memory only."
    hint = "A disk can keep the keys of photos after they were erased. Point HEADSHOTS_SOURCE_RING_DIR to a tmpfs."
    return [checks.Warning(message, hint=hint, id="vault.W001")]
