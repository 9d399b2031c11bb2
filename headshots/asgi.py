"""What uvicorn serves: Django, in threads that stay, behind the limit on request bodies."""

import logging
import os
from typing import cast

import django
from django.core.checks import ERROR, run_checks
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "headshots.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402

from headshots.vault.errors import VaultUnavailable  # noqa: E402
from headshots.vault.services import sweep_expired_keys  # noqa: E402
from headshots.web.body_limit import Application, BodyLimit  # noqa: E402
from headshots.web.handler import KeptThreads, OneHop  # noqa: E402

# Only management commands run checks by themselves: without this a web process would serve with a rule broken.
broken = [str(message) for message in run_checks() if message.is_serious(ERROR)]
if broken:
    raise ImproperlyConfigured("\n".join(broken))

# What expired while nothing ran is erased before anybody is served.
try:
    sweep_expired_keys()
except VaultUnavailable as error:
    logging.getLogger(__name__).error("keys that may have expired could not be looked at: %s", error)

django_application = BodyLimit(
    cast(Application, OneHop()),
    max_bytes=settings.HEADSHOTS_MAX_BODY_BYTES,
    max_bytes_by_path=dict.fromkeys(settings.HEADSHOTS_UPLOAD_PATHS, settings.HEADSHOTS_MAX_UPLOAD_BYTES),
)
application = KeptThreads(django_application)
