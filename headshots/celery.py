"""The Celery application: its queues, their routes, and tasks sent on commit."""

import os

from celery import Celery
from django.db import transaction

from headshots.runtime import heartbeat, log_context

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "headshots.settings")

app = Celery("headshots")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Fixed settings. The Django settings contain the broker's URL and beat's schedule, which depend on the environment.
app.conf.update(
    broker_connection_timeout=2,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        # Longer than any task, because a redelivered message would start a task again while it still runs. Lost tasks
        # are recovered through leases, not by the broker.
        "visibility_timeout": 6 * 3600,
        "unacked_restore_interval": 60,
        "unacked_restore_throttle": 1,
        # Publishing must fail fast during an outage of the broker. A task of beat's schedule finds the work later.
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 0.2,
    },
    task_publish_retry=False,
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_consumer="headshots.runtime.consumer:Consumer",
    worker_send_task_events=False,
    task_send_sent_event=False,
    worker_hijack_root_logger=False,
    timezone="UTC",
    task_default_queue="default",
    task_routes={
        "shoots.render_pack": {"queue": "render"},
        # Not on the queue of the purges, because a slow email server would delay them.
        "retention.mail_certificate": {"queue": "default"},
        "retention.mail_certificates": {"queue": "default"},
        "retention.*": {"queue": "retention"},
        "data_rights.*": {"queue": "retention"},
    },
)
app.autodiscover_tasks()
heartbeat.connect_signals()
log_context.connect_signals()


def send_on_commit(task: str, *ids: str) -> None:
    """Send a task with these ids as arguments after the current transaction commits.

    Ignores an unreachable broker. A task of beat's schedule finds the work later."""
    # Not a `partial`: Django logs the name of a callback that failed, and a `partial` has none.
    transaction.on_commit(lambda: app.send_task(task, args=ids), robust=True)
