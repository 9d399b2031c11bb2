"""A small run of the mutator over all formats (tests/helpers/fuzz_decoder.py); the long one is a command of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.fuzz_decoder import MUTATORS

ROOT = Path(__file__).resolve().parents[3]


# With three hundred, every kind of damage meets every format. With a hundred, every kind and every format occurs.
@pytest.mark.parametrize("count", [100, 300])
def test_mutated_files_keep_the_decoder_within_its_limits(count):
    # In a process of its own, which is small: its children have an address space of 1.5 GB.
    made = subprocess.run(
        [sys.executable, "-m", "tests.helpers.fuzz_decoder", "--count", str(count), "--seed", "7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    report = json.loads(made.stdout or "{}")
    assert made.returncode == 0, made.stderr + str(report.get("faults"))
    assert report["originals"]
    assert report["shares"].keys() == MUTATORS.keys() | report["originals"]
    assert report["answers"].keys() <= {
        "photo",
        "refused unreadable",
        "refused unsupported_format",
        "refused too_large",
    }
    # Most that passes is a changed bit, and what is seen of it is little: see docs/benchmarks.md.
    assert float(report["pass visibly"].rstrip("%")) < 8
