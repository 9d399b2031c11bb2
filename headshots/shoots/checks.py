"""The verdict on each photo, the question which face is meant, and the free preview that follows."""

from collections.abc import Iterable

from django.conf import settings
from django.db import transaction
from django.db.models import F

from headshots import engine
from headshots.shoots.lifecycle import begin_purge, record, send_on_commit
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
            record(f"photo.{checked.status}", shoot_id=photo.shoot_id, codes={"reasons": checked.reasons})
    except KeyGone:
        begin_purge(photo.shoot)
        return
    settle(shoot=photo.shoot)


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
        record(f"photo.{status}", shoot_id=photo.shoot_id, actor=Event.Actor.PERSON, codes={"reasons": reasons})
        # Not here: whether several photos show one person takes a model, and this is the web process.
        send_on_commit("shoots.settle", str(photo.shoot_id))
    return True


def settle(*, shoot: Shoot) -> None:
    """Once every photo has its verdict: refuse those of somebody else and start the free preview. Safe to repeat."""
    nudge(shoot.pk)
    photos = list(shoot.photos.select_related("blob", "faces_blob"))
    if not all(photo.state in Photo.SETTLED for photo in photos):
        return
    usable = best_first(photos)
    if len(usable) > 1:
        _refuse_strangers(usable)
    if usable:
        start_preview(shoot=shoot, count=settings.HEADSHOTS_PREVIEW_COUNT)
    nudge(shoot.pk)


def best_first(photos: Iterable[Photo]) -> list[Photo]:
    """The usable photos: accepted before warned, then the widest face."""
    usable = [photo for photo in photos if photo.state in Photo.USABLE]
    return sorted(
        usable,
        key=lambda photo: (
            photo.state != Photo.State.ACCEPTED,
            -photo.measurements[photo.chosen_face or 0]["face_width_px"],
        ),
    )


def stored(photo: Photo) -> engine.StoredPhoto:
    """The photo out of the vault. Raises KeyGone."""
    assert photo.faces_blob is not None
    return engine.StoredPhoto(
        photo=vault.read_blob(photo.blob), faces=vault.read_blob(photo.faces_blob), chosen=photo.chosen_face or 0
    )


def _refuse_strangers(usable: list[Photo]) -> None:
    """The best photo says who the person is."""
    try:
        others = engine.strangers([stored(photo) for photo in usable])
    except KeyGone:
        begin_purge(usable[0].shoot)
        return
    for index in others:
        photo, reasons = usable[index], [engine.Reason.NOT_SAME_PERSON.value]
        refused = Photo.objects.filter(pk=photo.pk, state__in=Photo.USABLE).update(
            state=Photo.State.REFUSED, reasons=reasons
        )
        if refused:
            record("photo.refused", shoot_id=photo.shoot_id, codes={"reasons": reasons})


def _settle(photo: Photo, *, state: str, reasons: list[str]) -> None:
    Photo.objects.filter(pk=photo.pk, state=Photo.State.UPLOADED).update(state=state, reasons=reasons)
    record(f"photo.{state}", shoot_id=photo.shoot_id, codes={"reasons": reasons})
    settle(shoot=photo.shoot)
