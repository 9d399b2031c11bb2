"""Where swap could write keys and pictures to a disk."""

from pathlib import Path

from headshots.vault.memory import swap_places


def test_swap_is_read_as_the_kernel_writes_it_and_none_where_it_writes_nothing(tmp_path: Path) -> None:
    table = tmp_path / "swaps"
    before = swap_places(table)
    table.write_text(
        "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 99 0 -2\n\n/a\\040file file 99 0 -3\n",
        encoding="utf-8",
    )

    assert before == []
    assert swap_places(table) == ["/dev/sda2", "/a file"]
