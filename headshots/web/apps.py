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
        """Register the system checks, start crash reports, create the data folder and harden the process.

        Django calls this once in every process of the product."""
        import_module("headshots.web.checks")
        error_reports.start()
        settings.HEADSHOTS_DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A core file would contain unencrypted photos.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.platform == "linux":
            # Prevents other processes of the same user from reading photos and keys in the memory of this process.
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
