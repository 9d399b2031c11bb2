"""The photo that looks are tried on: NASA's portrait of Eileen Collins, in the public domain, as on the home page."""

from functools import cache

from django.conf import settings

from headshots import engine

_FILE = "static/img/example-source.jpg"


@cache
def sample_photo() -> engine.StoredPhoto:
    """The photo and where the face is in it. Nobody's secret: it needs no vault."""
    photo = (settings.BASE_DIR / _FILE).read_bytes()
    checked = engine.check(photo)
    assert checked.face is not None, f"{_FILE} must show exactly one face"
    return engine.StoredPhoto(photo=photo, faces=checked.faces, chosen=checked.face)
