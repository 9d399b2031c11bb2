"""ZIPs that streaming readers take, of any size."""

import io
import shutil
import subprocess
import zipfile

import pytest

from headshots.web import zip_stream
from headshots.web.zip_stream import Member, member_of, stream_zip, zip_length
from tests.helpers.streaming_zip import read_forward

FILES = {"one.jpg": b"first" * 1000, "full/größe.jpg": b"second", "empty.txt": b""}


def zip_of(files: dict[str, bytes]) -> bytes:
    members = [member_of(name, data) for name, data in files.items()]
    data = b"".join(stream_zip(members))
    assert len(data) == zip_length(members)
    return data


def read_whole(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_readers_of_streams_and_of_files_find_the_same() -> None:
    data = zip_of(FILES)

    assert read_forward(data) == FILES
    assert read_whole(data) == FILES


@pytest.mark.parametrize("command", [["funzip"], ["bsdtar", "-xOf", "-", "one.jpg"]])
def test_other_programs_read_it_from_a_pipe(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on this machine")

    read = subprocess.run(command, input=zip_of(FILES), capture_output=True, check=False)

    assert read.stdout == FILES["one.jpg"]


def test_a_zip_without_members_is_one() -> None:
    assert read_whole(zip_of({})) == {}


@pytest.mark.parametrize(("bytes_limit", "count_limit"), [(3000, 0xFFFF), (5010, 0xFFFF), (0xFFFFFFFF, 3)])
def test_what_is_beyond_the_old_limits_takes_zip64(
    monkeypatch: pytest.MonkeyPatch, bytes_limit: int, count_limit: int
) -> None:
    """With the limits lowered the numbers that do not fit are a file's size, a position, or the count of files."""
    plain = zip_of(FILES)
    monkeypatch.setattr(zip_stream, "LIMIT_32", bytes_limit)
    monkeypatch.setattr(zip_stream, "LIMIT_16", count_limit)

    data = zip_of(FILES)

    assert len(data) > len(plain)
    # A reader looks into ZIP64 fields where it finds the old ones full.
    full = data.replace(bytes_limit.to_bytes(4, "little"), b"\xff" * 4) if bytes_limit != 0xFFFFFFFF else data
    assert read_whole(full) == FILES
    assert read_forward(full) == FILES


def test_six_gigabytes_have_the_right_length_and_positions() -> None:
    """Only the headers are made: the bytes would take a minute."""
    size = 2_000_000_000
    members = [Member(f"{number}.jpg", size, 0, list) for number in range(3)] + [member_of("last.txt", b"here")]

    writer = zip_stream.ZipWriter()
    headers = [writer.begin(member) for member in members]
    end = writer.end()

    assert writer.position == sum(map(len, headers)) + 3 * size + 4
    assert zip_length(members) == writer.position + len(end)
    # The last member begins beyond 4 GiB, and so does the directory.
    begins = sum(map(len, headers[:3])) + 3 * size
    assert begins.to_bytes(8, "little") in end
    assert b"PK\6\6" in end
    assert writer.position.to_bytes(8, "little") in end
