"""Rows and photos for tests, made through the product's own services."""

import itertools
from functools import cache
from typing import Any
from unittest.mock import patch

from django.db import transaction
from django.utils import timezone

from headshots import engine
from headshots.accounts.models import User
from headshots.engine import CheckedPhoto, check, clean_upload
from headshots.payments.models import Credit, Payment, Refund
from headshots.shoots.lifecycle import MAX_CONSECUTIVE_FAILURES, advance, record_failure
from headshots.shoots.looks import versions
from headshots.shoots.models import Headshot, Pack, Photo, Shoot, Style, StyleVersion
from headshots.shoots.packs.orders import order_premium, start_preview
from headshots.shoots.uploads import photo_checks
from headshots.shoots.uploads.new_shoot import open_shoot
from headshots.vault.services import write_blob
from tests.helpers import photos

_numbers = itertools.count(1)
PASSWORD = "a long enough pass phrase"
_seeded: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])


def make_user(email: str | None = None) -> User:
    return User.objects.create_user(email or f"person{next(_numbers)}@example.org", PASSWORD)


def seed_styles() -> None:
    """Add the built-in looks that are missing, as the product does, with three queries after its first time.

    The product's own function asks the database several times for each look, which most tests need."""
    styles, looks = _seeded
    there = set(Style.objects.values_list("name", flat=True))
    if not styles or (there and not there >= {row["name"] for row in styles}):
        versions.seed_styles()
        if not there:
            styles[:], looks[:] = Style.objects.values(), StyleVersion.objects.values()
    elif not there:
        now = {"created_at": timezone.now(), "published_at": timezone.now()}
        with transaction.atomic():
            Style.objects.bulk_create(Style(**row) for row in styles)
            StyleVersion.objects.bulk_create(StyleVersion(**row | now) for row in looks)


@cache
def cleaned_astronaut() -> bytes:
    return clean_once(photos.astronaut_path().read_bytes())


@cache
def check_once(photo: bytes, *, ask_first: bool = False, is_adult: bool = False) -> CheckedPhoto:
    """Return the real result of the check of a photo. Each photo is checked once per process: the result is the same
    every time, and most tests only need a checked photo."""
    return check(photo, ask_first=ask_first, is_adult=is_adult)


@cache
def clean_once(data: bytes) -> bytes:
    """The real result of the decoder, which starts a process. Each photo is decoded once per process."""
    return clean_upload(data)


def checked_astronaut() -> CheckedPhoto:
    return check_once(cleaned_astronaut())


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
    with patch.object(engine, "check", check_once):
        for photo in Photo.objects.filter(shoot=shoot):
            photo_checks.check_photo(photo=photo)
    return shoot


def make_preview(owner: User | None = None) -> Pack:
    """A queued preview pack of the astronaut."""
    return Pack.objects.get(shoot=make_checked_shoot(owner))


def make_delivered(owner: User | None = None) -> Pack:
    """The same, delivered, in milliseconds: the photo was looked at once and for all, and was put in the place of
    each headshot."""
    shoot = make_shoot(owner)
    photo = shoot.photos.get()
    photo.faces_blob = write_blob(ring="source", key_id=shoot.pk, kind="faces", data=checked_astronaut().faces)
    photo.state, photo.chosen_face = Photo.State.ACCEPTED, 0
    photo.face_count, photo.score, photo.tips = 1, checked_astronaut().score, checked_astronaut().tips
    photo.save()
    seed_styles()
    pack = start_preview(shoot=shoot, count=4)
    assert pack
    deliver(pack)
    return pack


def deliver(pack: Pack) -> None:
    """Deliver a queued pack without an engine, with the astronaut's photo in the place of each headshot."""
    for headshot in pack.headshots.all():
        headshot.blob = write_blob(ring="result", key_id=pack.pk, kind="headshot", data=cleaned_astronaut())
        headshot.state, headshot.done_at = Headshot.State.DONE, timezone.now()
        headshot.save()
    advance(pack, Pack.State.RENDERING)
    advance(pack, Pack.State.DELIVERED)


def make_premium(owner: User | None = None, *pictures: bytes, looks: int = 5, queued: bool = True) -> Pack:
    """A premium pack of a checked shoot whose free preview is of no interest any more."""
    shoot = make_checked_shoot(owner, *pictures)
    advance(Pack.objects.get(shoot=shoot), Pack.State.CANCELED)
    return order_premium(shoot=shoot, styles=Style.objects.all()[:looks], queued=queued)


def lose(pack: Pack) -> None:
    """As many faults as fail it for good, and the time between them."""
    for _ in range(MAX_CONSECUTIVE_FAILURES):
        Pack.objects.filter(pk=pack.pk).update(retry_at=None)
        record_failure(pack, Pack.Reason.STORAGE_FAILED)


def make_payment(owner: User | None, mode: str = "test") -> Payment:
    """Paid, with the credit that it bought."""
    now = timezone.now()
    payment = Payment.objects.create(
        owner=owner, engine="fake", mode=mode, state="paid", amount=1900, amount_paid=1900, currency="usd",
        expires_at=now, paid_at=now,
    )  # fmt: skip
    Credit.objects.create(owner=owner, source="payment", payment=payment)
    Refund.objects.create(payment=payment, amount=100, reason=Refund.Reason.GOODWILL)
    return payment
