"""The Celery application. Queues and routes stand in the settings, beat's schedule in headshots/beat.py."""

import os

from celery import Celery

from headshots import heart

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "headshots.settings")

app = Celery("headshots")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
heart.listen()
