"""Check each photo, and start the free preview once the customer is identified."""

import logging
from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import F

from headshots import engine
from headshots.shoots.lifecycle import close_without_key, record
from headshots.shoots.live import nudge
from headshots.shoots.models import FaceCrop, Photo, Shoot
from headshots.shoots.packs.orders import start_preview
from headshots.shoots.uploads.identity import identify_person
from headshots.vault import services as vault
from headshots.vault.errors import KeyGone, VaultUnavailable
from headshots.vault.models import Blob

log = logging.getLogger(__name__)
MAX_CHECKS = 3


def check_photo(*, photo: Photo) -> None:
    """Check one photo and store the verdict. Safe to run twice."""
    waiting = Photo.objects.filter(pk=photo.pk, state=Photo.State.UPLOADED, shoot__state=Shoot.State.OPEN)
    if not waiting.update(checks=F("checks") + 1):
        return
    photo.refresh_from_db()
    if photo.checks > MAX_CHECKS:
        # `MAX_CHECKS` checks of this photo failed or killed their worker. Do not try again.
        _store_refusal(photo, state=Photo.State.REFUSED, reasons=[engine.Reason.UNREADABLE.value])
        return
    try:
        owner = photo.shoot.owner
        checked = engine.check(
            vault.read_blob(photo.blob),
            ask_first=photo.shoot.ask_first,
            is_adult=owner is not None and owner.is_confirmed_adult,
        )
        # Outside the transaction, because writing to a bucket can take seconds.
        faces = vault.write_blob(ring="source", key_id=photo.shoot_id, kind="faces", data=checked.faces)
        crops = [
            vault.write_blob(ring="source", key_id=photo.shoot_id, kind="face_crop", data=crop)
            for crop in checked.crops
        ]
    except KeyGone:
        close_without_key(photo.shoot)
        return
    except VaultUnavailable as error:
        # The photo is not at fault, so the check is not counted, and beat sends the task again. The orphan sweep
        # deletes blobs that were already written.
        log.error("photo %s: waiting for the vault: %s", photo.pk, error)
        Photo.objects.filter(pk=photo.pk).update(checks=F("checks") - 1)
        return
    if _store_verdict(photo, checked, faces, crops):
        resolve_identity(shoot=photo.shoot)
        return
    for blob in (faces, *crops):
        vault.delete_blob(blob)


def _store_verdict(photo: Photo, checked: engine.CheckedPhoto, faces: Blob, crops: Sequence[Blob]) -> bool:
    """Store the verdict. Returns False if another worker was faster, or the photo was deleted."""
    with transaction.atomic():
        decided = Photo.objects.filter(pk=photo.pk, state=Photo.State.UPLOADED).update(
            state=checked.status,
            reasons=checked.reasons,
            chosen_face=checked.face,
            face_count=checked.face_count,
            score=checked.score,
            tips=checked.tips,
            faces_blob=faces,
        )
        if not decided:
            return False
        FaceCrop.objects.bulk_create(FaceCrop(photo=photo, index=index, blob=blob) for index, blob in enumerate(crops))
        record(f"photo.{checked.status}", shoot_id=photo.shoot_id, codes={"reasons": checked.reasons})
    return True


def resolve_identity(*, shoot: Shoot) -> None:
    """Identify the customer once every photo has a verdict, and then start the free preview. Safe to repeat."""
    nudge(shoot.pk)
    photos = list(shoot.photos.select_related("blob", "faces_blob"))
    if any(photo.state == Photo.State.UPLOADED for photo in photos):
        return
    try:
        decided = identify_person(shoot=shoot, photos=photos)
    except KeyGone:
        close_without_key(shoot)
        return
    except VaultUnavailable as error:
        log.error("shoot %s: waiting for the vault: %s", shoot.pk, error)
        return
    if decided and shoot.photos.filter(state__in=Photo.USABLE).exists():
        start_preview(shoot=shoot, count=settings.HEADSHOTS_PREVIEW_COUNT)
    nudge(shoot.pk)


def _store_refusal(photo: Photo, *, state: str, reasons: list[str]) -> None:
    Photo.objects.filter(pk=photo.pk, state=Photo.State.UPLOADED).update(state=state, reasons=reasons)
    record(f"photo.{state}", shoot_id=photo.shoot_id, codes={"reasons": reasons})
    resolve_identity(shoot=photo.shoot)
