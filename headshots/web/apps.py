import ctypes
import resource
import sys
from importlib import import_module

from django.apps import AppConfig
from django.conf import settings

from headshots.runtime import error_reports

_PR_SET_DUMPABLE = 4


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
        if sys.platform == "linux":
            # Other processes of the same user cannot read photos and keys out of this one's memory.
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
