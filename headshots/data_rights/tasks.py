"""Celery tasks of data rights. Each can run twice and concurrently."""

from celery import shared_task

from headshots.accounts.models import User
from headshots.data_rights.services import finish_account_deletion as finish
from headshots.runtime import heartbeat


@shared_task(name="data_rights.finish_account_deletion")
def finish_account_deletion() -> None:
    """Beat's part: accounts whose deletion a crash, a store or a mail server has held up."""
    for owner in User.objects.filter(deletion_requested_at__isnull=False):
        heartbeat.record_progress()
        finish(owner=owner)
