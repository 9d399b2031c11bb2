"""Faces of photo files, for commands that compare people."""

from pathlib import Path

from pipeline.commands import hushed, read_photo
from pipeline.errors import PhotoRefused
from pipeline.faces.embed import FaceEmbedder
from pipeline.faces.find import FaceFinder
from pipeline.intake import clean_photo, load_pixels
from pipeline.types import Embedding
from pipeline.weights import Weights


class EmbeddedFaces:
    """Finds and embeds the face of a photo file."""

    def __init__(self, weights: Weights) -> None:
        with hushed():
            self.finder, self.embedder = FaceFinder(weights), FaceEmbedder(weights)

    def only_face(self, path: Path) -> Embedding | None:
        """The embedding of the one face in the photo; None when it shows none, several, or is no photo.

        Raises CommandFailed when there is no such file."""
        try:
            pixels = load_pixels(clean_photo(read_photo(path)).data)
        except PhotoRefused:
            return None
        found = self.finder.find(pixels)
        return self.embedder.embed(pixels, found[0]) if len(found) == 1 else None
