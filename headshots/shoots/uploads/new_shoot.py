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

# Functions of higher-level apps that return how many more uploads an account may make. A paid pack allows one.
allowances: list[Callable[[User], int]] = []


class NoPreviewsLeft(Exception):
    """Raised when an account has used its free packs of the last 24 hours."""


class AccountClosed(Exception):
    """Raised when the account was deleted during the upload."""


def previews_left(owner: User) -> int:
    """Return how many free packs this account may order now. The limit is per 24 hours.

    Shoots whose photos were all refused are not counted. Shoots whose photos were lost, or whose free pack was stopped
    by staff, are not counted either."""
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
    """Create a shoot with its consent and key, and store its photos and self-description in the vault, all or nothing.

    photos: cleaned JPEGs.
    submission: idempotency key. The same key returns the same shoot.
    ask_first: compare no faces before the customer has picked theirs.
    The consent is stored before any face is analyzed.
    Raises NoPreviewsLeft, AccountClosed, and errors of the vault."""
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
        # Before the transaction, because a bucket can take seconds. No face is analyzed before the rows exist.
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
    """Write the rows of a new shoot.

    Returns the new shoot, or the one that the same submission created before. Raises AccountClosed, NoPreviewsLeft."""
    # Lock the account, because two concurrent uploads would both be counted as the last free pack.
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
    """Delete everything of a failed upload.

    The key is destroyed first. The orphan sweep deletes blobs that cannot be deleted now."""
    vault.destroy_key(ring="source", key_id=shoot.pk)
    try:
        vault.delete_blobs(ring="source", key_ids=[shoot.pk])
    except (VaultUnavailable, DatabaseError, OSError) as error:
        log.warning("shoot %s: what was stored of it is left to the sweep: %s", shoot.pk, type(error).__name__)
