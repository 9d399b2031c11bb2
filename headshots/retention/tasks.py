"""What Celery calls; each can run twice and at once."""

from uuid import UUID

from celery import shared_task, signals

from headshots.retention import audit, certificates, deletions, due, orphans, purging, wal
from headshots.retention.models import Receipt
from headshots.shoots.models import Pack, Shoot


@shared_task(name="retention.purge_shoot")
def purge_shoot(shoot_id: str) -> None:
    purging.purge_shoot(shoot=Shoot.objects.get(pk=UUID(shoot_id)))
    wal.empty_journals()


@shared_task(name="retention.purge_delivered")
def purge_delivered(pack_id: str) -> None:
    purging.purge_delivered(shoot=Pack.objects.select_related("shoot").get(pk=UUID(pack_id)).shoot)


@shared_task(name="retention.forget_pack")
def forget_pack(pack_id: str) -> None:
    purging.forget_pack(pack=Pack.objects.get(pk=UUID(pack_id)))
    wal.empty_journals()


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


@shared_task(name="retention.mail_receipt")
def mail_receipt(receipt_id: str) -> None:
    receipt = Receipt.objects.filter(pk=UUID(receipt_id)).first()
    if receipt is not None:
        certificates.mail_receipt(receipt)


@shared_task(name="retention.mail_receipts")
def mail_receipts() -> None:
    certificates.mail_waiting_receipts()


@shared_task(name="retention.drop_proofs")
def drop_proofs() -> None:
    due.drop_proofs()
    due.drop_payments()
    deletions.drop_old()
    wal.truncate_journal()


@signals.worker_ready.connect
def purge_first(sender: object, **_signal: object) -> None:
    """What became due while nothing ran goes before anything else is done; beat's first reminder comes a minute later.

    Celery says "ready" again after each reconnect to the broker: purging once too often is harmless."""
    if str(getattr(sender, "hostname", "")).startswith("retention@"):
        due.purge_due()
        audit.report()
