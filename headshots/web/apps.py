import resource
from importlib import import_module

from django.apps import AppConfig
from django.conf import settings

from headshots.web import error_reports


class WebConfig(AppConfig):
    name = "headshots.web"
    label = "web"

    def ready(self) -> None:
        """Whatever process this is: its rules are registered, its crashes are told, its data folder is private, it
        leaves no core file."""
        import_module("headshots.web.checks")
        error_reports.start()
        settings.HEADSHOTS_DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A core file would hold photos in clear.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
