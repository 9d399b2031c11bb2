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

# Left free beside what is fetched.
SPARE_BYTES = 100_000_000
FaultyFiles: TypeAlias = Callable[[Weight], list[PinnedFile]]
"""The files of a weight that are not here, or not as they should be."""


@dataclass(frozen=True)
class Download:
    """One file to come from a server: what it must be, and where it can be had now."""

    weight: Weight
    pinned: PinnedFile
    remote: Remote


@dataclass(frozen=True)
class FetchPlan:
    """Everything that a fetch brings."""

    weights: tuple[Weight, ...]
    archives: tuple[Archive, ...]
    downloads: tuple[Download, ...]
    endpoint: str | None = None

    @property
    def bytes(self) -> int:
        """To be downloaded, as far as the servers say."""
        return sum(each.bytes for each in self.archives) + sum(each.remote.size or 0 for each in self.downloads)

    def bytes_of(self, weight: Weight) -> int:
        """To be downloaded for one weight: of an archive the file in it, not the whole."""
        found = [each.remote.size or 0 for each in self.downloads if each.weight == weight]
        return sum(found) if found else weight.bytes or 0

    @property
    def needs_consent(self) -> bool:
        """Whether anything in it is large or under terms of its own."""
        return any(not weight.from_archive for weight in self.weights)


def make_plan(
    weights: Sequence[Weight], faulty_files: FaultyFiles, lock: FolderLock, directory: Path, endpoint: str | None
) -> FetchPlan:
    """What it takes to make these weights whole. Raises WeightsError when a server does not answer for its file."""
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
    """The file with what the folder's lock adds: a file that came once must be the same when it comes again."""
    if pin is None:
        return pinned
    origin = pinned.origin
    if isinstance(origin, HubFile) and pin.revision:
        origin = replace(origin, revision=pin.revision)
    return PinnedFile(origin, pinned.file, pinned.bytes or pin.bytes, pinned.sha256 or pin.sha256)


def execute_plan(plan: FetchPlan, faulty_files: FaultyFiles, directory: Path, on_progress: Progress) -> None:
    """Brings everything in the plan, each file whole or not at all.

    Several processes may do so at once: one downloads, the others wait and find the work done. `on_progress` hears
    the share, 0..1, of the bytes to download. Raises WeightsError."""
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
            # Not the plan's address: since then a person may have read the terms and other files have come.
            draft, remote = download(partial(resolve_remote, each.pinned, plan.endpoint), name, directory, on_bytes)
            install_file(draft, each.weight, each.pinned, directory, remote.revision)
            done += each.remote.size or 0
    on_progress(1.0)


def copy_files(
    weights: Sequence[Weight], faulty_files: FaultyFiles, source: Path, directory: Path, on_progress: Progress
) -> None:
    """Copies what these weights lack from files that lie below `source`. Raises WeightsError, also over one missing."""
    with locked_for_writing(directory):
        wanted = [(weight, pinned) for weight in weights for pinned in faulty_files(weight)]
        found = [(weight, pinned, find_source_file(source, pinned)) for weight, pinned in wanted]
        total = sum(path.stat().st_size for _, _, path in found)
        require_space(directory, total + sum(path.stat().st_size for weight, _, path in found if weight.convert))
        done = 0
        for weight, pinned, path in found:
            draft = directory / f"{STAGING_PREFIX}taken"
            shutil.copyfile(path, draft)
            # Of the copy: a file that changes while it is read is not what was looked at.
            if fault := compare(draft, pinned.bytes, pinned.sha256 or sha256_of(path)):
                raise WeightsError(f"{path} {fault}; it was not taken.")
            install_file(draft, weight, pinned, directory, "")
            done += path.stat().st_size
            on_progress(done / total)
    on_progress(1.0)


def find_source_file(source: Path, pinned: PinnedFile) -> Path:
    """The file below `source` that is the pinned one, under our name for it, its repository's, or its last part.

    The last part alone counts only where a hash tells files of one name apart. Raises WeightsError."""
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
    raise WeightsError(f"{faults[0]}; it was not taken.")


def install_file(draft: Path, weight: Weight, pinned: PinnedFile, directory: Path, revision: str) -> None:
    """Puts a verified draft where it is looked for, converted if need be, and pins what the catalog leaves open."""
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
    """Raises WeightsError unless everything fits: archives beside what is taken out, a conversion beside its source."""
    needed = sum(archive.bytes for archive in needed_archives(members)) + sum(each.bytes or 0 for each in members)
    for each in downloads:
        needed += (each.remote.size or 0) * (2 if each.weight.convert else 1)
    require_space(directory, needed)


def require_space(directory: Path, needed: int) -> None:
    """Raises WeightsError unless so many bytes and some to spare are free."""
    free = shutil.disk_usage(directory).free
    if needed and needed + SPARE_BYTES > free:
        raise WeightsError(
            f"{directory} has {free / 1e9:.1f} GB free and needs {(needed + SPARE_BYTES) / 1e9:.1f} GB. "
            "Fix: make room, or choose another folder with --weights DIR."
        )


@contextmanager
def locked_for_writing(directory: Path) -> Iterator[None]:
    """The folder, made if need be and ours alone. Raises WeightsError for whatever the disk refuses."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with lock_directory(directory):
            remove_leftovers(directory)
            yield
    except OSError as error:
        raise WeightsError(f"Weights cannot be written to {directory}: {error.strerror or error}.") from error
