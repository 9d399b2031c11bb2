"""What Celery calls; each can run twice and at once."""

from celery import shared_task

from headshots.dashboard import figures


@shared_task(name="dashboard.close_days")
def close_days() -> None:
    figures.close_days()
