"""What Celery calls; it can run twice and at once."""

from celery import shared_task

from headshots.accounts.models import User
from headshots.data_rights.services import finish_leaving as finish
from headshots.runtime import heartbeat


@shared_task(name="rights.finish_leaving")
def finish_leaving() -> None:
    """Beat's part: accounts whose deletion a crash, a store or a mail server has held up."""
    for owner in User.objects.filter(deletion_requested_at__isnull=False):
        heartbeat.record_progress()
        finish(owner=owner)
