"""Celery tasks of the dashboard. Each can be repeated.

Concurrent runs are also safe, except for `flush_visit_counters`: two at a time can store the same counts twice.
"""

from celery import shared_task

from headshots.dashboard.stats import daily_stats, report, visits


@shared_task(name="dashboard.aggregate_days")
def aggregate_days() -> None:
    daily_stats.aggregate_days()


@shared_task(name="dashboard.flush_visit_counters")
def flush_visit_counters() -> None:
    visits.flush_counters()


@shared_task(name=report.MAIL_TASK)
def mail_report() -> None:
    report.mail_weekly_report()
