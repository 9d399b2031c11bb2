"""Requeue what a lost message or a dead worker left undone, and packs that failed for good."""

import logging
from datetime import timedelta

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from headshots.celery import app
from headshots.shoots.lifecycle import advance, has_active_lease
from headshots.shoots.models import Event, Headshot, Pack, Pause, Photo, Shoot
from headshots.shoots.pauses import is_paused

log = logging.getLogger(__name__)
# Younger than this it is not stuck: its own message is still under way.
_GRACE = timedelta(seconds=10)


def requeue_stalled() -> None:
    """Send again what has waited too long. Doing so once too often is harmless: the tasks look before they work."""
    now = timezone.now()
    unchecked = Photo.objects.filter(
        state=Photo.State.UPLOADED, shoot__state=Shoot.State.OPEN, shoot__created_at__lt=now - _GRACE
    )
    for photo_id in unchecked.values_list("pk", flat=True):
        _requeue("shoots.check_photo", photo_id)
    if not is_paused(Pause.Part.RENDERING):
        for pack_id in _stalled_packs().values_list("pk", flat=True):
            _requeue("shoots.render_pack", pack_id)
    for pack_id in _packs_to_mail().values_list("pk", flat=True):
        _requeue("shoots.mail_delivered", pack_id)
    for shoot_id in _shoots_without_preview().values_list("pk", flat=True):
        _requeue("shoots.resolve_identity", shoot_id)


def enqueue_waiting() -> None:
    """After a pause: every pack that waits, the first one first, and none of them waits for beat's patience."""
    for pack_id in _free_packs().order_by("queued_at").values_list("pk", flat=True):
        app.send_task("shoots.render_pack", args=[str(pack_id)])


def _stalled_packs() -> QuerySet[Pack]:
    """Free for longer than a message takes."""
    return _free_packs().exclude(state=Pack.State.QUEUED, queued_at__gte=timezone.now() - _GRACE)


def _free_packs() -> QuerySet[Pack]:
    """Queued or rendering, at rest no more, and in no worker's hands."""
    is_due = Q(retry_at=None) | Q(retry_at__lte=timezone.now())
    made = (Pack.State.QUEUED, Pack.State.RENDERING)
    return Pack.objects.filter(is_due, ~has_active_lease(), state__in=made, shoot__state=Shoot.State.OPEN)


def _packs_to_mail() -> QuerySet[Pack]:
    """Ready for a while, and the mail about it has not left yet."""
    return Pack.objects.filter(state=Pack.State.DELIVERED, mail_due=True, delivered_at__lt=timezone.now() - _GRACE)


def _shoots_without_preview() -> QuerySet[Shoot]:
    """Every photo has its verdict and one will do, yet the worker died before it ordered the preview."""
    photos = Photo.objects.filter(shoot=OuterRef("pk"))
    return Shoot.objects.filter(
        Exists(photos.filter(state__in=Photo.USABLE)),
        ~Exists(photos.exclude(state__in=Photo.DECIDED)),
        ~Exists(Pack.objects.filter(shoot=OuterRef("pk"), kind=Pack.Kind.PREVIEW)),
        state=Shoot.State.OPEN,
        created_at__lt=timezone.now() - _GRACE,
    )


def _requeue(task: str, row_id: object) -> None:
    # Once per lease: a long queue must not be filled with copies of the same message.
    if cache.add(f"requeued:{task}:{row_id}", 1, timeout=settings.HEADSHOTS_LEASE_SECONDS):
        log.info("queuing %s %s again", task, row_id)
        app.send_task(task, args=[str(row_id)])


def retry_pack(*, pack: Pack, actor: str = Event.Actor.STAFF) -> bool:
    """Whether this caller queued it again. Not once its photos are gone."""
    with transaction.atomic():
        # Locked against a purge that starts now.
        if not Shoot.objects.select_for_update().filter(pk=pack.shoot_id, state=Shoot.State.OPEN).exists():
            return False
        if not advance(pack, Pack.State.QUEUED, actor=actor):
            return False
        reset_for_retry(pack)
    return True


def reset_for_retry(pack: Pack) -> None:
    """Give the shots that are not done their three tries, and the pack its budget, once more."""
    Pack.objects.filter(pk=pack.pk).update(reshoots=0, replacements=0, consecutive_failures=0, retry_at=None)
    pack.headshots.exclude(state=Headshot.State.DONE).update(
        state=Headshot.State.PENDING, attempts=0, renders=0, reasons=[], lease_token=None, lease_until=None
    )
