"""Requeue work after a lost message or a killed worker, and retry packs that failed permanently."""

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
# Work younger than this is not stalled: its own message may still be in the queue.
_GRACE = timedelta(seconds=10)


def requeue_stalled() -> None:
    """Send the task again for every photo, pack, email and preview that has waited too long.

    A repeated message is harmless: each task checks the state before it works."""
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
    """Enqueue all waiting packs, oldest first.

    Called when a pause ends, so that the packs do not wait for the next beat task."""
    for pack_id in _free_packs().order_by("queued_at").values_list("pk", flat=True):
        app.send_task("shoots.render_pack", args=[str(pack_id)])


def _stalled_packs() -> QuerySet[Pack]:
    """Select free packs, except those queued so recently that their message may still be on its way."""
    return _free_packs().exclude(state=Pack.State.QUEUED, queued_at__gte=timezone.now() - _GRACE)


def _free_packs() -> QuerySet[Pack]:
    """Select unfinished packs that no worker has leased and whose retry delay is over."""
    is_due = Q(retry_at=None) | Q(retry_at__lte=timezone.now())
    unfinished = (Pack.State.QUEUED, Pack.State.RENDERING)
    return Pack.objects.filter(is_due, ~has_active_lease(), state__in=unfinished, shoot__state=Shoot.State.OPEN)


def _packs_to_mail() -> QuerySet[Pack]:
    """Select delivered packs whose "ready" email has not been sent."""
    return Pack.objects.filter(state=Pack.State.DELIVERED, mail_due=True, delivered_at__lt=timezone.now() - _GRACE)


def _shoots_without_preview() -> QuerySet[Shoot]:
    """Select shoots with a usable photo and all verdicts, but without a preview.

    This happens if a worker is killed before it orders the preview."""
    photos = Photo.objects.filter(shoot=OuterRef("pk"))
    return Shoot.objects.filter(
        Exists(photos.filter(state__in=Photo.USABLE)),
        ~Exists(photos.exclude(state__in=Photo.DECIDED)),
        ~Exists(Pack.objects.filter(shoot=OuterRef("pk"), kind=Pack.Kind.PREVIEW)),
        state=Shoot.State.OPEN,
        created_at__lt=timezone.now() - _GRACE,
    )


def _requeue(task: str, row_id: object) -> None:
    # Send at most one message per lease period, so that a long queue does not fill up with copies.
    if cache.add(f"requeued:{task}:{row_id}", 1, timeout=settings.HEADSHOTS_LEASE_SECONDS):
        log.info("queuing %s %s again", task, row_id)
        app.send_task(task, args=[str(row_id)])


def retry_pack(*, pack: Pack, actor: str = Event.Actor.STAFF) -> bool:
    """Queue a failed pack again, unless its shoot is closed. Returns True if this call queued the pack."""
    with transaction.atomic():
        # The lock keeps a purge from starting in between.
        if not Shoot.objects.select_for_update().filter(pk=pack.shoot_id, state=Shoot.State.OPEN).exists():
            return False
        if not advance(pack, Pack.State.QUEUED, actor=actor):
            return False
        reset_for_retry(pack)
    return True


def reset_for_retry(pack: Pack) -> None:
    """Reset the attempts of unfinished shots, and the pack's budgets of retries and replacements."""
    Pack.objects.filter(pk=pack.pk).update(reshoots=0, replacements=0, consecutive_failures=0, retry_at=None)
    pack.headshots.exclude(state=Headshot.State.DONE).update(
        state=Headshot.State.PENDING, attempts=0, renders=0, reasons=[], lease_token=None, lease_until=None
    )
