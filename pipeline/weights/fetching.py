"""Fetch weights: plan, confirm, download, install."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from pipeline.errors import WeightsError
from pipeline.types import Progress
from pipeline.weights.archives import fetch_members, needed_archives
from pipeline.weights.catalog import Archive, ArchiveMember, HubFile, PinnedFile, Weight
from pipeline.weights.convert import CONVERTERS
from pipeline.weights.downloads import Remote, download, resolve_remote
from pipeline.weights.folder import (
    STAGING_PREFIX,
    FolderLock,
    Pin,
    compare,
    lock_directory,
    remove_leftovers,
    sha256_of,
)

# Disk space that must stay free after a fetch.
SPARE_BYTES = 100_000_000
FaultyFiles: TypeAlias = Callable[[Weight], list[PinnedFile]]
"""Returns the files of a weight that are missing or faulty."""


@dataclass(frozen=True)
class Download:
    """A file to download: its pinned description and its current location."""

    weight: Weight
    pinned: PinnedFile
    remote: Remote


@dataclass(frozen=True)
class FetchPlan:
    """Everything that a fetch will download."""

    weights: tuple[Weight, ...]
    archives: tuple[Archive, ...]
    downloads: tuple[Download, ...]
    endpoint: str | None = None

    @property
    def bytes(self) -> int:
        """Return the number of bytes to download, as far as the servers report it."""
        return sum(each.bytes for each in self.archives) + sum(each.remote.size or 0 for each in self.downloads)

    def bytes_of(self, weight: Weight) -> int:
        """Return the number of bytes for one weight. For an archive only the weight's own files count."""
        found = [each.remote.size or 0 for each in self.downloads if each.weight == weight]
        return sum(found) if found else weight.bytes or 0

    @property
    def needs_consent(self) -> bool:
        """Return True if anything in the plan is large or has its own terms."""
        return any(not weight.from_archive for weight in self.weights)


def make_plan(
    weights: Sequence[Weight], faulty_files: FaultyFiles, lock: FolderLock, directory: Path, endpoint: str | None
) -> FetchPlan:
    """Plan the downloads that these weights need.

    Raises WeightsError if a server does not report its file."""
    files = [(weight, pinned) for weight in weights for pinned in faulty_files(weight)]
    downloads = [
        Download(weight, wanted, resolve_remote(wanted, endpoint))
        for weight, pinned in files
        if not isinstance(pinned.origin, ArchiveMember)
        for wanted in [_as_pinned_here(pinned, lock.files.get(pinned.file))]
    ]
    return FetchPlan(
        tuple(weights), tuple(needed_archives([pinned for _, pinned in files])), tuple(downloads), endpoint
    )


def _as_pinned_here(pinned: PinnedFile, pin: Pin | None) -> PinnedFile:
    """Return the file with the pins of the folder's lock added.

    So a file that is fetched again must be the same as before."""
    if pin is None:
        return pinned
    origin = pinned.origin
    if isinstance(origin, HubFile) and pin.revision:
        origin = replace(origin, revision=pin.revision)
    return PinnedFile(origin, pinned.file, pinned.bytes or pin.bytes, pinned.sha256 or pin.sha256)


def execute_plan(plan: FetchPlan, faulty_files: FaultyFiles, directory: Path, on_progress: Progress) -> None:
    """Download everything in the plan, each file whole or not at all.

    Safe in several processes: one downloads, and the others wait and find nothing left to do. `on_progress` receives
    the finished share, 0..1, of the bytes to download. Raises WeightsError."""
    with locked_for_writing(directory):
        wanted = [(weight, pinned) for weight in plan.weights for pinned in faulty_files(weight)]
        members = [pinned for _, pinned in wanted if isinstance(pinned.origin, ArchiveMember)]
        still = {pinned.file for _, pinned in wanted}
        downloads = [each for each in plan.downloads if each.pinned.file in still]
        check_space(directory, members, downloads)
        done, total = 0, plan.bytes or 1

        def on_bytes(came: int) -> None:
            on_progress(min(1.0, (done + came) / total))

        fetch_members(members, directory, on_bytes)
        done += sum(archive.bytes for archive in needed_archives(members))
        for each in downloads:
            name = each.pinned.file
            # Resolve the URL again, because the plan's may have expired while a person read the terms or other files
            # downloaded.
            draft, remote = download(partial(resolve_remote, each.pinned, plan.endpoint), name, directory, on_bytes)
            install_file(draft, each.weight, each.pinned, directory, remote.revision)
            done += each.remote.size or 0
    on_progress(1.0)


def copy_files(
    weights: Sequence[Weight], faulty_files: FaultyFiles, source: Path, directory: Path, on_progress: Progress
) -> None:
    """Copy the files that these weights lack from below `source`.

    Raises WeightsError, also if one is not found."""
    with locked_for_writing(directory):
        wanted = [(weight, pinned) for weight in weights for pinned in faulty_files(weight)]
        found = [(weight, pinned, find_source_file(source, pinned)) for weight, pinned in wanted]
        total = sum(path.stat().st_size for _, _, path in found)
        require_space(directory, total + sum(path.stat().st_size for weight, _, path in found if weight.convert))
        done = 0
        for weight, pinned, path in found:
            draft = directory / f"{STAGING_PREFIX}taken"
            shutil.copyfile(path, draft)
            # Verify the copy, because the original could change while it is read.
            if fault := compare(draft, pinned.bytes, pinned.sha256 or sha256_of(path)):
                raise WeightsError(f"{path} {fault} and was not copied.")
            install_file(draft, weight, pinned, directory, "")
            done += path.stat().st_size
            on_progress(done / total)
    on_progress(1.0)


def find_source_file(source: Path, pinned: PinnedFile) -> Path:
    """Return the file below `source` that is the pinned one.

    Tries our name for it, the hub's names, and the last part of our name. The last part only counts if the hash is
    pinned, because several files can share it. Raises WeightsError."""
    origin = pinned.origin
    names = [pinned.file]
    if isinstance(origin, HubFile):
        names += [f"{origin.repository.rpartition('/')[2]}/{origin.path}", origin.path]
    if pinned.sha256:
        names.append(Path(pinned.file).name)
    there = [source / name for name in dict.fromkeys(names) if (source / name).is_file()]
    if not there:
        raise WeightsError(f"There is no {pinned.file} below {source}.")
    if pinned.sha256 is None:
        return there[0]
    faults = []
    for path in there:
        fault = compare(path, pinned.bytes, pinned.sha256)
        if fault is None:
            return path
        faults.append(f"{path} {fault}")
    raise WeightsError(f"{faults[0]} and was not copied.")


def install_file(draft: Path, weight: Weight, pinned: PinnedFile, directory: Path, revision: str) -> None:
    """Move or convert a verified draft to its final place, and pin what the catalog leaves open."""
    place = directory / (weight.place if weight.convert else pinned.file)
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FolderLock.read(directory)
    if weight.convert:
        origin_sha256 = pinned.sha256 or sha256_of(draft)
        CONVERTERS[weight.convert](draft, place)
        draft.unlink()
        pin = Pin(place.stat().st_size, sha256_of(place), revision, origin_sha256)
    else:
        draft.replace(place)
        if pinned.bytes is not None and pinned.sha256 is not None and pinned.file not in lock.files:
            return
        pin = Pin(place.stat().st_size, pinned.sha256 or sha256_of(place), revision)
    FolderLock({**lock.files, str(place.relative_to(directory)): pin}, lock.installed).write(directory)


def check_space(directory: Path, members: Sequence[PinnedFile], downloads: Sequence[Download]) -> None:
    """Raise WeightsError unless the disk has room for everything.

    Archives need room in addition to their members, and conversions in addition to their source."""
    needed = sum(archive.bytes for archive in needed_archives(members)) + sum(each.bytes or 0 for each in members)
    for each in downloads:
        needed += (each.remote.size or 0) * (2 if each.weight.convert else 1)
    require_space(directory, needed)


def require_space(directory: Path, needed: int) -> None:
    """Raise WeightsError unless this many bytes and SPARE_BYTES are free."""
    free = shutil.disk_usage(directory).free
    if needed and needed + SPARE_BYTES > free:
        raise WeightsError(
            f"{directory} has {free / 1e9:.1f} GB free and needs {(needed + SPARE_BYTES) / 1e9:.1f} GB. "
            "Fix: free up space, or choose another folder with --weights DIR."
        )


@contextmanager
def locked_for_writing(directory: Path) -> Iterator[None]:
    """Create the folder if needed and hold its lock for the block.

    Raises WeightsError for errors of the file system."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with lock_directory(directory):
            remove_leftovers(directory)
            yield
    except OSError as error:
        raise WeightsError(f"Weights cannot be written to {directory}: {error.strerror or error}.") from error
