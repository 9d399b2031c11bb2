"""Where swap could write keys and pictures to a disk, and what the checks say about it and about a bucket."""

import os
from pathlib import Path

import pytest
from django.conf import LazySettings

from headshots.vault import checks
from headshots.vault.memory import swap_places, unencrypted_swap


def test_swap_is_read_as_the_kernel_writes_it_and_none_where_it_writes_nothing(tmp_path: Path) -> None:
    table = tmp_path / "swaps"
    before = swap_places(table)
    table.write_text(
        "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 99 0 -2\n\n/a\\040file file 99 0 -3\n",
        encoding="utf-8",
    )

    assert before == []
    assert swap_places(table) == ["/dev/sda2", "/a file"]


@pytest.fixture
def swap_file(tmp_path: Path) -> Path:
    path = tmp_path / "swapfile"
    path.touch()
    return path


@pytest.mark.parametrize(
    ("layers", "is_safe"),
    [
        ({"": None}, False),
        ({"": "CRYPT-LUKS2-0123"}, True),
        ({"": "LVM-0123"}, False),
        ({"": "LVM-0123", "disk": None}, False),
        ({"": "LVM-0123", "crypt": "CRYPT-PLAIN-swap"}, True),
        ({"": None, "crypt": "CRYPT-PLAIN-swap", "another": "CRYPT-PLAIN-other"}, True),
        ({"": None, "crypt": "CRYPT-PLAIN-swap", "disk": None}, False),
    ],
)
def test_swap_is_safe_on_an_encrypted_device_or_if_all_devices_below_are_encrypted(
    tmp_path: Path, swap_file: Path, layers: dict[str, str | None], is_safe: bool
) -> None:
    """Layers: the device of the swap file under an empty name, and those below it, each with what names its kind."""
    number = swap_file.stat().st_dev
    device = tmp_path / "devices" / f"{os.major(number)}:{os.minor(number)}"
    for name, kind in layers.items():
        folder = device / "slaves" / name if name else device
        folder.mkdir(parents=True)
        if kind is not None:
            (folder / "dm").mkdir()
            (folder / "dm" / "uuid").write_text(kind)
    table = tmp_path / "swaps"
    table.write_text(f"Filename Type\n{swap_file} file\n/dev/zram0 partition\n/dev/not-there partition\n")

    # Memory that is compressed is no disk, and what cannot be looked at may be one.
    expected = ["/dev/not-there"] if is_safe else [str(swap_file), "/dev/not-there"]
    assert unencrypted_swap(table, tmp_path / "devices") == expected


def test_swap_on_a_disk_is_told_unless_the_operator_knows_better(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "unencrypted_swap", lambda: ["/dev/sda2", "/swapfile"])
    (warning,) = checks.check_swap()
    settings.HEADSHOTS_SWAP_IS_ENCRYPTED = True
    stated = checks.check_swap()
    settings.HEADSHOTS_SWAP_IS_ENCRYPTED = False
    monkeypatch.setattr(checks, "unencrypted_swap", list)

    assert warning.id == "vault.W002"
    assert "unencrypted: /dev/sda2, /swapfile." in warning.msg
    assert stated == checks.check_swap() == []


@pytest.mark.parametrize(
    ("bucket", "endpoint", "region", "complaint"),
    [
        ("", "", "", ""),
        ("photos", "", "", ""),
        ("photos", "http://localhost:9000", "eu-central-1", ""),
        ("photos", "localhost:9000", "", "HEADSHOTS_S3_ENDPOINT must start with"),
        ("", "https://s3.example.org", "", "HEADSHOTS_S3_ENDPOINT is set, but HEADSHOTS_S3_BUCKET is not"),
        ("", "", "eu-central-1", "HEADSHOTS_S3_REGION is set, but HEADSHOTS_S3_BUCKET is not"),
    ],
)
def test_half_the_settings_of_a_bucket_are_refused(
    settings: LazySettings, bucket: str, endpoint: str, region: str, complaint: str
) -> None:
    settings.HEADSHOTS_S3_BUCKET, settings.HEADSHOTS_S3_ENDPOINT = bucket, endpoint
    settings.HEADSHOTS_S3_REGION, settings.HEADSHOTS_S3_PREFIX = region, ""

    found = checks.check_bucket()

    assert [error.id for error in found] == ["vault.E007"] * bool(complaint)
    assert all(complaint in error.msg for error in found)
