"""Celery tasks of shoots. Each loads by id, calls one service, and can run twice."""

import logging
from uuid import UUID

from celery import shared_task, signals
from django.db import DatabaseError

from headshots import engine
from headshots.runtime import heartbeat, log_context
from headshots.shoots.delivery import mails
from headshots.shoots.models import Pack, Photo, Shoot
from headshots.shoots.packs import leases, prepared_subjects, recovery, rendering
from headshots.shoots.uploads import photo_checks

log = logging.getLogger(__name__)


@shared_task(name="shoots.check_photo")
def check_photo(photo_id: str) -> None:
    photo = Photo.objects.select_related("shoot", "blob").filter(pk=UUID(photo_id)).first()
    if photo is not None:  # None: the photo was purged after the message was sent.
        log_context.bind(shoot=photo.shoot_id)
        photo_checks.check_photo(photo=photo)


@shared_task(name="shoots.resolve_identity")
def resolve_identity(shoot_id: str) -> None:
    photo_checks.resolve_identity(shoot=Shoot.objects.get(pk=UUID(shoot_id)))


@shared_task(name="shoots.render_pack")
def render_pack(pack_id: str) -> None:
    pack = Pack.objects.select_related("shoot").get(pk=UUID(pack_id))
    log_context.bind(shoot=pack.shoot_id)
    try:
        rendering.render_pack(pack=pack)
    except engine.DeviceLost as error:
        # Only a new process can use the device again. The supervisor starts one, which frees the old leases.
        log.critical("this worker exits: %s", error)
        raise SystemExit(1) from error


@shared_task(name="shoots.delete_prepared_subject")
def delete_prepared_subject(pack_id: str) -> None:
    pack = Pack.objects.get(pk=UUID(pack_id))
    if pack.state not in (Pack.State.QUEUED, Pack.State.RENDERING):  # Staff may have queued the pack again.
        prepared_subjects.delete_prepared_subject(pack)


@shared_task(name="shoots.mail_delivered")
def mail_delivered(pack_id: str) -> None:
    mails.send_delivery_mail(pack=Pack.objects.select_related("shoot__owner").get(pk=UUID(pack_id)))


@shared_task(name="shoots.requeue_stalled")
def requeue_stalled() -> None:
    recovery.requeue_stalled()


@shared_task(name="shoots.enqueue_waiting")
def enqueue_waiting() -> None:
    recovery.enqueue_waiting()


@signals.celeryd_init.connect
def load_models(sender: str, **_signal: object) -> None:
    """Load the models of the worker's queue before its first task. Raises SystemExit if they cannot be loaded."""
    leases.node_name = sender
    name = sender.partition("@")[0]
    heartbeat.start_loading_models(sender)
    try:
        engine.warm_up(name)
    except engine.PipelineError as error:
        log.critical("this worker cannot start: %s", error)
        raise SystemExit(1) from error


@signals.worker_ready.connect
def free_leases_after_crash(sender: object, **_signal: object) -> None:
    """Free the leases of a render worker that was killed, so that its work does not wait until they expire."""
    if leases.node_name.startswith("render@"):
        rendering.resume_after_crash()


@signals.heartbeat_sent.connect
def evict_ended_subjects(**_signal: object) -> None:
    """Evict the subjects of ended packs from memory with every heartbeat, because other workers end packs too."""
    try:
        prepared_subjects.evict_ended()
    except DatabaseError as error:
        log.warning("cannot see which packs have ended: %s", type(error).__name__)
