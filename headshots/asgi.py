"""What uvicorn serves: Django, in a few threads that stay, behind the limits on bodies and addresses."""

import logging
import os
import resource
from functools import partial
from typing import cast

import django
from django.core.checks import ERROR, run_checks
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "headshots.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402
from django.http import parse_cookie  # noqa: E402

from headshots.accounts.sessions import signed_in_account  # noqa: E402
from headshots.vault.errors import VaultUnavailable  # noqa: E402
from headshots.vault.services import sweep_expired_keys  # noqa: E402
from headshots.web.addresses import RequestsPerAddress, client_address  # noqa: E402
from headshots.web.asgi_types import Scope  # noqa: E402
from headshots.web.bodies import BodyLimit, LargeBodies  # noqa: E402
from headshots.web.handler import OneHop  # noqa: E402
from headshots.web.threads import Threads  # noqa: E402

OPEN_FILES = 8192

# Only management commands run checks by themselves: without this a web process would serve with a rule broken.
broken = [str(message) for message in run_checks() if message.is_serious(ERROR)]
if broken:
    raise ImproperlyConfigured("\n".join(broken))

# What expired while nothing ran is erased before anybody is served.
try:
    sweep_expired_keys()
except VaultUnavailable as error:
    logging.getLogger(__name__).error("keys that may have expired could not be looked at: %s", error)

# Each connection is an open file, and many systems begin with 1,024 though they allow more.
files, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
if 0 < files < OPEN_FILES:
    wanted = min(OPEN_FILES, most_files) if most_files > 0 else OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most_files))

limits = settings.HEADSHOTS_LIMITS
threads = Threads(limits.web_threads, per_address=max(1, limits.web_threads // 2))


async def account_of(scope: Scope) -> int | None:
    """Return the account that a request is signed in to."""
    sent = dict(cast("list[tuple[bytes, bytes]]", scope["headers"])).get(b"cookie", b"")
    work = partial(signed_in_account, parse_cookie(sent.decode("latin-1")))
    return await threads.run(work, address=client_address(scope), wait_seconds=limits.web_wait_seconds)


application = RequestsPerAddress(
    BodyLimit(
        OneHop(
            threads,
            wait_seconds=limits.web_wait_seconds,
            # Supervisors ask it: it answers while all other threads are busy.
            reserved={"/healthz": Threads(2, per_address=1)},
        ),
        max_bytes=settings.HEADSHOTS_MAX_BODY_BYTES,
        large={
            "/shoots/new/": LargeBodies(settings.HEADSHOTS_MAX_UPLOAD_BYTES, signed_in=True),
            "/verify/": LargeBodies(settings.HEADSHOTS_MAX_VERIFY_BYTES, signed_in=False),
        },
        account_of=account_of,
    )
)
