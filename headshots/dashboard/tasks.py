"""What Celery calls; each can run twice and at once."""

from celery import shared_task

from headshots.dashboard.stats import daily_stats, report, visits


@shared_task(name="dashboard.close_days")
def close_days() -> None:
    daily_stats.close_days()


@shared_task(name="dashboard.carry_visits_over")
def carry_visits_over() -> None:
    visits.carry_over()


@shared_task(name=report.MAIL_TASK)
def mail_report() -> None:
    report.mail_weekly_report()
