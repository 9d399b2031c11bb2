"""Celery tasks of data rights. Each can run twice and concurrently."""

from celery import shared_task

from headshots.accounts.models import User
from headshots.data_rights.services import finish_account_deletion as finish
from headshots.runtime import heartbeat


@shared_task(name="data_rights.finish_account_deletion")
def finish_account_deletion() -> None:
    """Finish the deletion of accounts that a crash, the store or the mail server interrupted."""
    for owner in User.objects.filter(deletion_requested_at__isnull=False):
        heartbeat.record_progress()
        finish(owner=owner)
