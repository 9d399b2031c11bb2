"""From uploaded bytes to an open shoot whose photos wait for their check."""

import logging
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from headshots import engine
from headshots.accounts.models import User
from headshots.celery import send_on_commit
from headshots.runtime import log_context
from headshots.shoots.consent import current
from headshots.shoots.lifecycle import record
from headshots.shoots.models import Consent, Event, Pack, Photo, Shoot
from headshots.shoots.self_description import NOTHING_SAID, write_person
from headshots.vault import services as vault
from headshots.vault.errors import VaultUnavailable
from headshots.vault.models import Blob

log = logging.getLogger(__name__)

# What the rooms above add to an account's free packs: whoever has paid for a pack may upload the photos for it.
allowances: list[Callable[[User], int]] = []


class NoPreviewsLeft(Exception):
    """The account has had its free packs for now."""


class AccountClosed(Exception):
    """The account was deleted while its upload was under way."""


def previews_left(owner: User) -> int:
    """How many free packs this account may still ask for within 24 hours.

    A shoot whose photos were all refused has cost nothing and is not counted, and neither is one that we lost or whose
    free pack we stopped."""
    stopped = Pack.objects.filter(shoot__owner=owner, kind=Pack.Kind.PREVIEW, reason="staff").values("shoot")
    recent = Shoot.objects.filter(owner=owner, created_at__gt=timezone.now() - timedelta(days=1))
    hopeful = [state for state in Photo.State if state != Photo.State.REFUSED]
    may_get_one = Q(state=Shoot.State.OPEN, photos__state__in=hopeful)
    had_one = Q(packs__kind=Pack.Kind.PREVIEW) & ~Q(packs__reason="photos_lost")
    used = recent.filter(had_one | may_get_one).exclude(pk__in=stopped).distinct().count()
    allowed = settings.HEADSHOTS_PREVIEWS_PER_DAY + sum(allowance(owner) for allowance in allowances)
    return max(0, allowed - used)


def open_shoot(
    *,
    owner: User,
    photos: Sequence[bytes],
    person: engine.Person = NOTHING_SAID,
    submission: uuid.UUID | None = None,
    ask_first: bool = False,
) -> Shoot:
    """A shoot with its consent, its key, and its photos and the person's words in the vault, all of it or nothing.

    `photos` are cleaned JPEGs; with `ask_first` no faces are compared before the person has picked theirs. The
    consent is stored before anything looks at a face. The same submission twice gives the same shoot.
    Raises NoPreviewsLeft, AccountClosed."""
    now = timezone.now()
    ttl = timedelta(seconds=settings.HEADSHOTS_PHOTO_TTL_SECONDS)
    # Purged a little before the key dies by itself: five minutes of twenty-four hours.
    shoot = Shoot(
        id=uuid.uuid4(),
        owner=owner,
        submission=submission,
        ring_mark=vault.source_ring_mark(),
        ask_first=ask_first,
        created_at=now,
        delete_after=now + ttl - ttl / 288,
    )
    log_context.bind(shoot=shoot.pk)
    vault.create_key(ring="source", key_id=shoot.pk, expires_at=now + ttl)
    try:
        # Before the transaction: a bucket can take seconds. Until the rows are there nothing looks at a face.
        blobs = [vault.write_blob(ring="source", key_id=shoot.pk, kind="photo", data=data) for data in photos]
        with transaction.atomic():
            # One upload of an account at a time: two that count at once would both find the last free pack.
            if not User.objects.select_for_update().filter(pk=owner.pk, deletion_requested_at=None):
                raise AccountClosed
            earlier = Shoot.objects.filter(owner=owner, submission=submission).first() if submission else None
            if earlier is None:
                _save(shoot, blobs, person)
    except BaseException:
        _take_back(shoot)
        raise
    if earlier is not None:
        _take_back(shoot)
        return earlier
    return shoot


def _save(shoot: Shoot, blobs: Sequence[Blob], person: engine.Person) -> None:
    """The rows of a new shoot. Raises NoPreviewsLeft."""
    assert shoot.owner is not None
    if not previews_left(shoot.owner):
        raise NoPreviewsLeft
    shoot.save(force_insert=True)
    Consent.objects.create(
        shoot=shoot,
        consent_version=current("consent").version,
        is_me_version=current("is_me").version,
        given_at=shoot.created_at,
    )
    write_person(shoot=shoot, person=person)
    record("shoot.opened", shoot_id=shoot.pk, actor=Event.Actor.PERSON, numbers={"photos": len(blobs)})
    for position, blob in enumerate(blobs):
        photo = Photo.objects.create(shoot=shoot, position=position, blob=blob)
        send_on_commit("shoots.check_photo", str(photo.pk))


def _take_back(shoot: Shoot) -> None:
    """Nothing of an upload that came to nothing stays: its key dies first, and the sweep finds what is left then."""
    vault.destroy_key(ring="source", key_id=shoot.pk)
    try:
        vault.delete_blobs(ring="source", key_ids=[shoot.pk])
    except (VaultUnavailable, DatabaseError, OSError) as error:
        log.warning("shoot %s: what was stored of it is left to the sweep: %s", shoot.pk, type(error).__name__)
