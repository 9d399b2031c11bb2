from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = "headshots.dashboard"
    label = "dashboard"

    def ready(self) -> None:
        """A process that turns out to be a worker or beat says that it lives."""
        from headshots import heart
        from headshots.dashboard.workers import start_reporting

        heart.when_it_starts(start_reporting)
