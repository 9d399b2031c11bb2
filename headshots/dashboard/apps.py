"""Set up the dashboard: roles after each migration, reports of workers."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DashboardConfig(AppConfig):
    name = "headshots.dashboard"
    label = "dashboard"

    def ready(self) -> None:
        from headshots.dashboard.monitoring.workers import start_reporting
        from headshots.dashboard.roles import ensure_roles
        from headshots.runtime import heartbeat

        post_migrate.connect(ensure_roles, sender=self)
        # Called once this process starts as a worker or as beat.
        heartbeat.on_start(start_reporting)
