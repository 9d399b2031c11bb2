"""Open a shoot from an upload: encrypt and store the photos, and queue their checks."""

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
from headshots.shoots.lifecycle import key_expiry, purge_time, record
from headshots.shoots.models import Consent, Event, Pack, Photo, Shoot
from headshots.shoots.self_description import NO_SELF_DESCRIPTION, write_self_description
from headshots.vault import services as vault
from headshots.vault.errors import VaultUnavailable
from headshots.vault.models import Blob

log = logging.getLogger(__name__)

# Uploads that apps above this one allow in addition to the free packs: a paid pack allows one.
allowances: list[Callable[[User], int]] = []


class NoPreviewsLeft(Exception):
    """The account has used its free packs for now."""


class AccountClosed(Exception):
    """The account was deleted while its upload was under way."""


def previews_left(owner: User) -> int:
    """Return how many free packs this account may still order within 24 hours.

    Shoots without a usable photo are not counted, nor those whose photos we lost or whose free pack staff stopped."""
    stopped = Pack.objects.filter(shoot__owner=owner, kind=Pack.Kind.PREVIEW, reason=Pack.Reason.STAFF).values("shoot")
    recent = Shoot.objects.filter(owner=owner, created_at__gt=timezone.now() - timedelta(days=1))
    not_refused = [state for state in Photo.State if state != Photo.State.REFUSED]
    may_get_one = Q(state=Shoot.State.OPEN, photos__state__in=not_refused)
    had_one = Q(packs__kind=Pack.Kind.PREVIEW) & ~Q(packs__reason=Pack.Reason.PHOTOS_LOST)
    used = recent.filter(had_one | may_get_one).exclude(pk__in=stopped).distinct().count()
    allowed = settings.HEADSHOTS_PREVIEWS_PER_DAY + sum(allowance(owner) for allowance in allowances)
    return max(0, allowed - used)


def open_shoot(
    *,
    owner: User,
    photos: Sequence[bytes],
    self_description: engine.SelfDescription = NO_SELF_DESCRIPTION,
    submission: uuid.UUID | None = None,
    ask_first: bool = False,
) -> Shoot:
    """A shoot with its consent, its key, and its photos and the person's words in the vault, all of it or nothing.

    `photos` are cleaned JPEGs; with `ask_first` no faces are compared before the person has picked theirs. The
    consent is stored before anything looks at a face. The same submission twice gives the same shoot.
    Raises NoPreviewsLeft, AccountClosed."""
    now = timezone.now()
    shoot = Shoot(
        id=uuid.uuid4(),
        owner=owner,
        submission=submission,
        keyring_epoch=vault.source_keyring_epoch(),
        ask_first=ask_first,
        created_at=now,
        delete_after=purge_time(now),
    )
    log_context.bind(shoot=shoot.pk)
    vault.create_key(ring="source", key_id=shoot.pk, expires_at=key_expiry(now))
    try:
        # Before the transaction: a bucket can take seconds. Until the rows are there nothing looks at a face.
        blobs = [vault.write_blob(ring="source", key_id=shoot.pk, kind="photo", data=data) for data in photos]
        saved = _save(shoot, owner, blobs, self_description)
    except BaseException:
        _roll_back(shoot)
        raise
    if saved != shoot:
        _roll_back(shoot)
    return saved


@transaction.atomic
def _save(shoot: Shoot, owner: User, blobs: Sequence[Blob], self_description: engine.SelfDescription) -> Shoot:
    """Write the rows of a new shoot. Returns it, or the one that the same submission has made before.

    Raises AccountClosed, NoPreviewsLeft."""
    # One upload of an account at a time: two that count at once would both find the last free pack.
    if not User.objects.select_for_update().filter(pk=owner.pk, deletion_requested_at=None):
        raise AccountClosed
    if shoot.submission:
        earlier = Shoot.objects.filter(owner=owner, submission=shoot.submission).first()
        if earlier is not None:
            return earlier
    if not previews_left(owner):
        raise NoPreviewsLeft
    shoot.save(force_insert=True)
    Consent.objects.create(
        shoot=shoot,
        consent_version=current("consent").version,
        is_me_version=current("is_me").version,
        given_at=shoot.created_at,
    )
    write_self_description(shoot=shoot, self_description=self_description)
    record("shoot.opened", shoot_id=shoot.pk, actor=Event.Actor.PERSON, numbers={"photos": len(blobs)})
    for position, blob in enumerate(blobs):
        photo = Photo.objects.create(shoot=shoot, position=position, blob=blob)
        send_on_commit("shoots.check_photo", str(photo.pk))
    return shoot


def _roll_back(shoot: Shoot) -> None:
    """Nothing of an upload that came to nothing stays: its key dies first, and the sweep finds what is left then."""
    vault.destroy_key(ring="source", key_id=shoot.pk)
    try:
        vault.delete_blobs(ring="source", key_ids=[shoot.pk])
    except (VaultUnavailable, DatabaseError, OSError) as error:
        log.warning("shoot %s: what was stored of it is left to the sweep: %s", shoot.pk, type(error).__name__)
