"""The verdict on each photo, the question which face is meant, and the free preview that follows."""

from django.conf import settings
from django.db import transaction
from django.db.models import F

from headshots import engine
from headshots.shoots.lifecycle import begin_purge, record
from headshots.shoots.live import nudge
from headshots.shoots.models import Event, FaceCrop, Photo, Shoot
from headshots.shoots.orders import start_preview
from headshots.vault import services as vault
from headshots.vault.errors import KeyGone

MAX_CHECKS = 3


def check_photo(*, photo: Photo) -> None:
    """Look at one photo and store the verdict; safe to run twice."""
    waiting = Photo.objects.filter(pk=photo.pk, state=Photo.State.UPLOADED, shoot__state=Shoot.State.OPEN)
    if not waiting.update(checks=F("checks") + 1):
        return
    photo.refresh_from_db()
    if photo.checks > MAX_CHECKS:
        # It took the worker down three times: no fourth.
        _settle(photo, state=Photo.State.REFUSED, reasons=[engine.Reason.UNREADABLE.value])
        return
    try:
        checked = engine.check(vault.read_blob(photo.blob))
        with transaction.atomic():
            faces = vault.write_blob(ring="source", key_id=photo.shoot_id, kind="faces", data=checked.faces)
            settled = Photo.objects.filter(pk=photo.pk, state=Photo.State.UPLOADED).update(
                state=checked.status,
                reasons=checked.reasons,
                chosen_face=checked.face,
                measurements=checked.measurements,
                faces_blob=faces,
            )
            if not settled:
                vault.delete_blob(faces)
                return
            for index, crop in enumerate(checked.crops):
                blob = vault.write_blob(ring="source", key_id=photo.shoot_id, kind="face_crop", data=crop)
                FaceCrop.objects.create(photo=photo, index=index, blob=blob)
            record(f"photo.{checked.status}", shoot_id=photo.shoot_id)
    except KeyGone:
        begin_purge(photo.shoot)
        return
    after_verdict(photo.shoot)


def choose_face(*, photo: Photo, index: int) -> bool:
    """Judge the photo by the face its person picked. False when the photo no longer asks, or has no such face."""
    if not 0 <= index < photo.face_count:
        return False
    status, reasons = engine.judge(photo.measurements, index)
    with transaction.atomic():
        moved = Photo.objects.filter(pk=photo.pk, state=Photo.State.CHOOSE_FACE, shoot__state=Shoot.State.OPEN).update(
            state=status, reasons=reasons, chosen_face=index
        )
        if not moved:
            return False
        record(f"photo.{status}", shoot_id=photo.shoot_id, actor=Event.Actor.PERSON)
    after_verdict(photo.shoot)
    return True


def after_verdict(shoot: Shoot) -> None:
    """Start the free preview once every photo has its verdict and at least one will do."""
    nudge(shoot.pk)
    states = list(shoot.photos.values_list("state", flat=True))
    if set(states) <= set(Photo.SETTLED) and set(states) & set(Photo.USABLE):
        start_preview(shoot=shoot, count=settings.HEADSHOTS_PREVIEW_COUNT)


def _settle(photo: Photo, *, state: str, reasons: list[str]) -> None:
    Photo.objects.filter(pk=photo.pk, state=Photo.State.UPLOADED).update(state=state, reasons=reasons)
    record(f"photo.{state}", shoot_id=photo.shoot_id)
    after_verdict(photo.shoot)
