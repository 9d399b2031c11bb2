"""The storage of collected static files."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedFilesStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """A storage of collected files, named by their content, each with a compressed copy.

    Django uses the plain names in debug mode. run.py serves collected files in debug mode too."""

    def url(self, name: str, force: bool = True) -> str:
        """Return the URL of a file, which changes with its content."""
        return str(super().url(name, force=force))
