"""The ASGI application that uvicorn serves: Django in a few threads, behind limits on bodies and clients."""

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
from headshots.web.asgi_types import Scope  # noqa: E402
from headshots.web.bodies import BODY, UNRESERVED_BYTES, Body, BodyLimit, LargeBodyRule  # noqa: E402
from headshots.web.client_address import RequestsPerAddressLimit, client_address  # noqa: E402
from headshots.web.handler import ThreadPoolASGIHandler  # noqa: E402
from headshots.web.threads import ThreadPool  # noqa: E402

WANTED_OPEN_FILES = 8192
# Longer than the usual timeout, because an upload that took a minute should not be refused after ten seconds.
LARGE_BODY_TIMEOUT_SECONDS = 60.0

# Django runs system checks in management commands only. Without this, a web process would start with invalid settings.
broken = [str(message) for message in run_checks() if message.is_serious(ERROR)]
if broken:
    raise ImproperlyConfigured("\n".join(broken))

# Delete keys that expired while the product was stopped, before the first request.
try:
    sweep_expired_keys()
except VaultUnavailable as error:
    logging.getLogger(__name__).error("keys that may have expired could not be looked at: %s", error)

# Each connection is an open file. Many systems set the soft limit to 1,024 but allow more.
files, max_open_files = resource.getrlimit(resource.RLIMIT_NOFILE)
if 0 < files < WANTED_OPEN_FILES:
    wanted = min(WANTED_OPEN_FILES, max_open_files) if max_open_files > 0 else WANTED_OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max_open_files))

limits = settings.HEADSHOTS_LIMITS
# Requests with large bodies decode pictures for seconds. They have their own threads, so that pages stay responsive.
large_bodies = ThreadPool(limits.web_threads // 4, per_address=max(1, limits.web_threads // 8))
others = limits.web_threads - large_bodies.count
requests = ThreadPool(others, per_address=max(1, others // 2))
# Supervisors request /healthz, so it must answer while all other threads are busy.
health = ThreadPool(2, per_address=1)


def select_thread_pool(scope: Scope) -> tuple[ThreadPool, float]:
    """Return the thread pool for a request, and how many seconds the request waits for a thread."""
    if scope["path"] == "/healthz":
        return health, limits.web_queue_timeout_seconds
    if cast(Body, scope[BODY]).length > UNRESERVED_BYTES:
        return large_bodies, max(limits.web_queue_timeout_seconds, LARGE_BODY_TIMEOUT_SECONDS)
    return requests, limits.web_queue_timeout_seconds


async def get_account_id(scope: Scope) -> int | None:
    """Return the id of the signed-in account of a request, None without one. Raises NoThreadFree."""
    headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
    sent = b"; ".join(value for name, value in headers if name == b"cookie")
    work = partial(signed_in_account, parse_cookie(sent.decode("latin-1")))
    return await requests.run(work, address=client_address(scope), wait_seconds=limits.web_queue_timeout_seconds)


application = RequestsPerAddressLimit(
    BodyLimit(
        ThreadPoolASGIHandler(select_thread_pool),
        max_bytes=settings.HEADSHOTS_MAX_BODY_BYTES,
        large={
            "/shoots/new/": LargeBodyRule(settings.HEADSHOTS_MAX_UPLOAD_BYTES, signed_in=True),
            "/verify/": LargeBodyRule(settings.HEADSHOTS_MAX_VERIFY_BYTES, signed_in=False),
            "/verify.json": LargeBodyRule(settings.HEADSHOTS_MAX_VERIFY_BYTES, signed_in=False),
        },
        get_account_id=get_account_id,
    )
)
