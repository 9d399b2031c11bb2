"""Rows and photos for tests, made through the product's own services."""

import itertools
from functools import cache

from headshots.accounts.models import User
from headshots.engine import clean_upload
from headshots.shoots import checks
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Pack, Photo, Shoot, Style
from headshots.shoots.orders import order_premium
from headshots.shoots.rendering import render_pack
from headshots.shoots.styles import seed_styles
from headshots.shoots.uploads import open_shoot
from tests import photos

_numbers = itertools.count(1)
PASSWORD = "a long enough pass phrase"


def make_user(email: str | None = None) -> User:
    return User.objects.create_user(email or f"person{next(_numbers)}@example.org", PASSWORD)


@cache
def cleaned_astronaut() -> bytes:
    return clean_upload(photos.astronaut_path().read_bytes())


@cache
def cleaned_two_people() -> bytes:
    return clean_upload(photos.encode(photos.two_people()))


def make_shoot(owner: User | None = None, *pictures: bytes) -> Shoot:
    """An open shoot with the astronaut's photo, or the given ones, not yet checked."""
    return open_shoot(owner=owner or make_user(), photos=pictures or [cleaned_astronaut()])


def make_checked_shoot(owner: User | None = None, *pictures: bytes) -> Shoot:
    """The same after the check of each photo, with its preview queued when a photo will do."""
    seed_styles()
    shoot = make_shoot(owner, *pictures)
    for photo in Photo.objects.filter(shoot=shoot):
        checks.check_photo(photo=photo)
    return shoot


def make_preview(owner: User | None = None) -> Pack:
    """A queued preview pack of the astronaut."""
    return Pack.objects.get(shoot=make_checked_shoot(owner))


def make_delivered(owner: User | None = None) -> Pack:
    """The same with its four headshots; by the engine that the test has chosen."""
    pack = make_preview(owner)
    render_pack(pack=pack)
    pack.refresh_from_db()
    return pack


def make_premium(owner: User | None = None, *pictures: bytes, looks: int = 5, queued: bool = True) -> Pack:
    """A premium pack of a checked shoot whose free preview is of no interest any more."""
    shoot = make_checked_shoot(owner, *pictures)
    advance(Pack.objects.get(shoot=shoot), Pack.State.CANCELLED)
    return order_premium(shoot=shoot, styles=Style.objects.all()[:looks], queued=queued)
