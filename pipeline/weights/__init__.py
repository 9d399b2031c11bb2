"""Model files: pinned by name, size and sha256, downloaded once, verified at every start.

The only package of the pipeline that uses the network, and only for an explicit fetch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import LicenseError, WeightsError
from pipeline.types import Progress
from pipeline.weights.catalog import Catalog, PinnedFile, Weight, load_catalog
from pipeline.weights.fetching import FetchPlan, copy_files, execute_plan, make_plan
from pipeline.weights.folder import DEFAULT_DIR, FETCH_COMMAND, FolderLock, compare, find_fault

__all__ = ["CATALOG", "DEFAULT_DIR", "STUDIO", "FetchPlan", "LicensePolicy", "Weights", "load_catalog"]

CATALOG = load_catalog()
STUDIO = "studio"


@dataclass(frozen=True)
class LicensePolicy:
    """The rules for weights whose license does not cover business.

    Attributes:
        business: True if this installation earns money.
        statement: name of a license that the operator holds for such weights, or empty.
    """

    business: bool = False
    statement: str = ""

    def fault(self, weight: Weight) -> str | None:
        """Return one sentence about why the weight may not be loaded, or None."""
        if weight.business or not self.business or self.statement.strip():
            return None
        return (
            f"The license of {weight.name} ({weight.license}) does not allow commercial use, but live payments are on. "
            "Fix: obtain a license and state it in HEADSHOTS_LICENSE_STATEMENT, or use the studio engine."
        )


class Weights:
    """A folder of weights.

    `path` verifies each weight's files on its first call only."""

    def __init__(
        self,
        directory: Path = DEFAULT_DIR,
        catalog: Catalog = CATALOG,
        licenses: LicensePolicy = LicensePolicy(),
    ) -> None:
        self.directory = directory
        self.catalog = catalog
        self.licenses = licenses
        self._verified: dict[str, Path] = {}

    def path(self, name: str) -> Path:
        """Return the local file or folder of a weight after verifying every size and hash.

        Raises WeightsError with the fix. Raises LicenseError if the license does not allow this use."""
        if name not in self._verified:
            if problem := self.problem(name):
                raise WeightsError(f"{problem} Fix: {self.fetch_command_for(name)}")
            self._verified[name] = self.directory / self.catalog.weights[name].place
        if fault := self.licenses.fault(self.catalog.weights[name]):
            raise LicenseError(fault)
        return self._verified[name]

    def problem(self, name: str) -> str | None:
        """Return one sentence about what is wrong with a weight's local files, or None."""
        weight = self._weight(name)
        lock = FolderLock.read(self.directory)
        for pinned in weight.files:
            if fault := self._fault(weight, pinned, lock):
                where = self.directory / (weight.place if weight.convert else pinned.file)
                return f"The weight {name} {fault} ({where})."
        return None

    def plan(self, names: Sequence[str], endpoint: str | None = None) -> FetchPlan:
        """Plan a fetch of these weights or groups.

        Asks servers for sizes. Raises WeightsError."""
        wanted = self.catalog.expand(tuple(names))
        faulty = [self.catalog.weights[name] for name in wanted if self.problem(name)]
        return make_plan(faulty, self._faulty_files, FolderLock.read(self.directory), self.directory, endpoint)

    def fetch(self, names: Sequence[str], on_progress: Progress, plan: FetchPlan | None = None) -> None:
        """Download the named weights or groups and verify them.

        Weights that are already here are only hashed. Raises WeightsError."""
        wanted = self.catalog.expand(tuple(names))
        self._forget(wanted)
        execute_plan(plan or self.plan(names), self._faulty_files, self.directory, on_progress)
        self._mark_installed(wanted)

    def copy_files(self, names: Sequence[str], source: Path, on_progress: Progress) -> None:
        """Copy the named weights or groups from files below `source`.

        Contacts no server. Raises WeightsError."""
        wanted = self.catalog.expand(tuple(names))
        self._forget(wanted)
        faulty = [self.catalog.weights[name] for name in wanted if self.problem(name)]
        copy_files(faulty, self._faulty_files, source, self.directory, on_progress)
        self._mark_installed(wanted)

    def is_installed(self, group: str) -> bool:
        """Return True if a fetch of this group was ever completed here.

        Does not check the files, which can be damaged by now."""
        return group in FolderLock.read(self.directory).installed

    @property
    def fetch_command(self) -> str:
        """Return the command that fetches the studio's weights into this folder."""
        return FETCH_COMMAND if self.directory == DEFAULT_DIR else f"{FETCH_COMMAND} --weights {self.directory}"

    def fetch_command_for(self, *names: str) -> str:
        """Return the command that fetches these weights into this folder."""
        if set(names) <= set(self.catalog.groups.get(STUDIO, ())):
            return self.fetch_command
        return self.fetch_command.replace(FETCH_COMMAND, f"{FETCH_COMMAND} {' '.join(names)}", 1)

    def is_there(self, name: str) -> bool:
        """Return True if the file or folder of a weight exists. Does not verify it."""
        return (self.directory / self._weight(name).place).exists()

    def _weight(self, name: str) -> Weight:
        if name not in self.catalog.weights:
            raise WeightsError(f"There is no weight called {name!r}; known: {', '.join(self.catalog.weights)}.")
        return self.catalog.weights[name]

    def _fault(self, weight: Weight, pinned: PinnedFile, lock: FolderLock) -> str | None:
        if not weight.convert:
            return find_fault(pinned, self.directory, lock.files.get(pinned.file))
        pin = lock.files.get(weight.place)
        if pin is None or (pinned.sha256 is not None and pin.converted_from != pinned.sha256):
            return "is missing"
        return compare(self.directory / weight.place, pin.bytes, pin.sha256)

    def _faulty_files(self, weight: Weight) -> list[PinnedFile]:
        lock = FolderLock.read(self.directory)
        return [pinned for pinned in weight.files if self._fault(weight, pinned, lock)]

    def _forget(self, names: Sequence[str]) -> None:
        for name in names:
            self._verified.pop(name, None)

    def _mark_installed(self, names: Sequence[str]) -> None:
        """Record the groups that are completely here.

        The studio's group is not recorded, because it is always needed."""
        whole = [
            group
            for group, members in self.catalog.groups.items()
            if group != STUDIO and members and set(members) <= set(names)
        ]
        lock = FolderLock.read(self.directory)
        if not set(whole) <= set(lock.installed):
            FolderLock(lock.files, tuple(sorted({*lock.installed, *whole}))).write(self.directory)
