"""Photos and tables that commands read."""

import csv
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import CommandFailed, read_photo, suppress_stderr
from pipeline.errors import PhotoRefused
from pipeline.faces.find import FaceFinder
from pipeline.identity.embedding import FaceEmbedder
from pipeline.photos.intake import clean_photo, load_pixels
from pipeline.types import Embedding
from pipeline.weights import Weights


class EmbeddedFaces:
    """The models that find and embed the face of a photo file."""

    def __init__(self, weights: Weights) -> None:
        with suppress_stderr():
            self.finder, self.embedder = FaceFinder(weights), FaceEmbedder(weights)

    def only_face(self, path: Path) -> Embedding | None:
        """Embed the only face in the photo.

        Returns None if the photo is refused, or shows no face or several. Raises CommandFailed if the file cannot be
        read."""
        try:
            pixels = load_pixels(clean_photo(read_photo(path)).data)
        except PhotoRefused:
            return None
        found = self.finder.find(pixels)
        return self.embedder.embed(pixels, found[0]) if len(found) == 1 else None


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the rows of a CSV file, each with a value in these columns.

    Raises CommandFailed, with the number of a faulty line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandFailed(f"{path}: {error}") from error
    if not rows:
        raise CommandFailed(f"{path}: no rows; the first line must name the columns {', '.join(columns)}")
    if missing := [name for name in columns if name not in rows[0]]:
        raise CommandFailed(f"{path}: the first line must name the columns {', '.join(columns)}; missing: {missing[0]}")
    for number, row in enumerate(rows, 2):
        if empty := [name for name in columns if not row[name]]:
            raise CommandFailed(f"{path}, line {number}: the column {empty[0]} is empty")
    return rows
