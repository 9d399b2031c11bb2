"""What Celery calls; each can run twice and at once."""

from celery import shared_task

from headshots.dashboard import figures, visits


@shared_task(name="dashboard.close_days")
def close_days() -> None:
    figures.close_days()


@shared_task(name="dashboard.carry_visits_over")
def carry_visits_over() -> None:
    visits.carry_over()
