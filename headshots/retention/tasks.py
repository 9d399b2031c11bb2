"""What Celery calls; each can run twice and at once."""

from uuid import UUID

from celery import shared_task

from headshots.retention import due, journal, orphans, proofs, receipt_mail, services
from headshots.retention.models import Receipt
from headshots.shoots.models import Pack, Shoot


@shared_task(name="retention.purge_shoot")
def purge_shoot(shoot_id: str) -> None:
    services.purge_shoot(shoot=Shoot.objects.get(pk=UUID(shoot_id)))
    journal.truncate_journal()


@shared_task(name="retention.purge_delivered")
def purge_delivered(pack_id: str) -> None:
    services.purge_delivered(shoot=Pack.objects.select_related("shoot").get(pk=UUID(pack_id)).shoot)


@shared_task(name="retention.purge_due")
def purge_due() -> None:
    due.purge_due()


@shared_task(name="retention.sweep_orphans")
def sweep_orphans() -> None:
    orphans.sweep_orphans()


@shared_task(name="retention.mail_receipt")
def mail_receipt(receipt_id: str) -> None:
    receipt = Receipt.objects.filter(pk=UUID(receipt_id)).first()
    if receipt is not None:
        receipt_mail.mail_receipt(receipt)


@shared_task(name="retention.mail_receipts")
def mail_receipts() -> None:
    receipt_mail.mail_waiting_receipts()


@shared_task(name="retention.drop_proofs")
def drop_proofs() -> None:
    proofs.drop_proofs()
    proofs.drop_payments()
    journal.truncate_journal()
