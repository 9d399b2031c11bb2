import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def short_folder() -> Iterator[Path]:
    """An own folder for a product: a unix socket's path below it holds 107 characters at most."""
    folder = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder
