"""Celery tasks of retention. Each can run twice and concurrently."""

from uuid import UUID

from celery import shared_task, signals

from headshots.retention import audit, certificates, deletions, due, orphans, purging, wal
from headshots.retention.models import DeletionCertificate
from headshots.shoots.models import Pack, Shoot


@shared_task(name="retention.purge_shoot")
def purge_shoot(shoot_id: str) -> None:
    purging.purge_shoot(shoot=Shoot.objects.get(pk=UUID(shoot_id)))
    wal.checkpoint_journals()


@shared_task(name="retention.purge_delivered")
def purge_delivered(pack_id: str) -> None:
    purging.purge_delivered(shoot=Pack.objects.select_related("shoot").get(pk=UUID(pack_id)).shoot)


@shared_task(name="retention.delete_pack")
def delete_pack(pack_id: str) -> None:
    purging.delete_pack(pack=Pack.objects.get(pk=UUID(pack_id)))
    wal.checkpoint_journals()


@shared_task(name=due.PURGE_TASK)
def purge_due() -> None:
    due.purge_due()
    audit.report()


@shared_task(name=orphans.SWEEP_TASK)
def sweep_orphans() -> None:
    orphans.sweep_orphans()


@shared_task(name="retention.rewrite_account_tables")
def rewrite_account_tables() -> None:
    wal.rewrite_account_tables()


@shared_task(name="retention.mail_certificate")
def mail_certificate(certificate_id: str) -> None:
    certificate = DeletionCertificate.objects.filter(pk=UUID(certificate_id)).first()
    if certificate is not None:
        certificates.mail_certificate(certificate)


@shared_task(name="retention.mail_certificates")
def mail_certificates() -> None:
    certificates.mail_waiting_certificates()


@shared_task(name="retention.delete_expired_certificates")
def delete_expired_certificates() -> None:
    due.delete_expired_certificates()
    due.delete_expired_payments()
    deletions.delete_old_files()
    wal.checkpoint_wal()


@signals.worker_ready.connect
def purge_on_start(sender: object, **_signal: object) -> None:
    """Purge what became due during a downtime, as soon as the retention worker starts.

    Beat sends its first message up to a minute later. Celery also sends this signal after each reconnect to the
    broker. An additional purge is harmless."""
    if str(getattr(sender, "hostname", "")).startswith("retention@"):
        due.purge_due()
        audit.report()
