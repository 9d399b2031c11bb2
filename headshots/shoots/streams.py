"""What a shoot's page streams: the live channel and the ZIP.

Asynchronous on purpose: under ASGI a synchronous generator is read to its end before
the first byte leaves.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET
from redis import asyncio as aioredis
from zipstream import ZipStream

from headshots.shoots.access import shoot_or_404
from headshots.shoots.lifecycle import record_pack
from headshots.shoots.live import channel
from headshots.shoots.models import Pack
from headshots.shoots.views import VERSIONS, file_name
from headshots.vault import services as vault
from headshots.vault.errors import BlobCorrupt, BlobMissing, KeyGone, VaultUnavailable
from headshots.vault.models import Blob
from headshots.web.budgets import Budget, BudgetExceeded

log = logging.getLogger(__name__)

_KEEP_ALIVE_SECONDS = 15
# A stream says so that often; one of a killed process counts no longer than this.
_LEASE_SECONDS = 45
# A page that is left open does not hold a connection for ever; the browser reconnects by itself.
_LONGEST_SECONDS = 600
_MISSING = """Some of your headshots are missing here.

Our copies of these files are damaged:

{files}

All other files of this pack are here, and whole. Please write to {whom}
and give this number, so that we can put it right:

{pack}
"""


@require_GET
async def events(request: HttpRequest, shoot_id: UUID) -> HttpResponseBase:
    """Server-sent events: one "changed" for every nudge. 204 tells EventSource to stop, and the page polls.

    That is the answer without a live channel, and to an account that has as many open as it may."""
    shoot = await sync_to_async(shoot_or_404)(request, shoot_id)
    if not settings.HEADSHOTS_REDIS_URL:
        return HttpResponse(status=204)
    nudges = _nudges(channel(shoot.pk), holder=str(shoot.owner_id))
    try:
        first = await anext(nudges)
    except (BudgetExceeded, StopAsyncIteration):
        return HttpResponse(status=204)
    response = StreamingHttpResponse(_with_first(first, nudges), content_type="text/event-stream")
    response["Cache-Control"] = "no-store, private"
    response["X-Accel-Buffering"] = "no"
    return response


@require_GET
async def download_zip(request: HttpRequest, shoot_id: UUID, pack_id: UUID) -> HttpResponseBase:
    """Every finished headshot of the pack in one ZIP, read and decrypted while it is sent."""
    shoot = await sync_to_async(shoot_or_404)(request, shoot_id)
    pack = await sync_to_async(get_object_or_404)(Pack, pk=pack_id, shoot=shoot)
    try:
        archive, spoiled = await sync_to_async(_archive)(pack)
    except VaultUnavailable:
        return HttpResponse("Please try again in a minute.", status=503, content_type="text/plain")
    except KeyGone:
        raise Http404 from None
    if archive.is_empty():
        return HttpResponse("There is nothing to download yet.", status=404, content_type="text/plain")
    response = StreamingHttpResponse(in_thread(iter(archive)), content_type="application/zip")
    size = pack.size.lower().replace(",", "").replace(" ", "-")
    name = f"headshots-{size}" if pack.kind == Pack.Kind.PREMIUM else "headshots"
    response["Content-Disposition"] = f'attachment; filename="{name}{"-incomplete" if spoiled else ""}.zip"'
    response["Content-Length"] = len(archive)
    response["Cache-Control"] = "no-store, private"
    return response


def _archive(pack: Pack) -> tuple[ZipStream, list[str]]:
    """Headshots of one file lie side by side, those of three in a folder for each version. And the names of those
    that cannot be read, which a text in it tells as well. Raises KeyGone, VaultUnavailable."""
    # JPEGs do not get smaller: stored, so that the length is known before the first byte.
    archive, spoiled = ZipStream(sized=True), []
    rows = list(pack.headshots.filter(blob__isnull=False).select_related("style", *VERSIONS.values()))
    several = any(row.web_blob_id for row in rows)
    for version, field in VERSIONS.items():
        for row in rows:
            blob: Blob | None = getattr(row, field)
            if blob is None:
                continue
            name = f"{version}/{file_name(row, version)}" if several else file_name(row, version)
            if _is_whole(blob):
                archive.add(_lazily(blob), name, size=blob.size)
            else:
                spoiled.append(name)
    if spoiled:
        record_pack(pack, "spoiled", numbers={"files": len(spoiled)})
        archive.add(_what_is_missing(pack, spoiled), "MISSING.txt")
    return archive, spoiled


def _is_whole(blob: Blob) -> bool:
    """Whether the file can be read to its end. Looked at beforehand: a ZIP whose length was told cannot leave one out,
    and 300 MB take half a second (docs/experiments.md)."""
    try:
        for _ in vault.stream_blob(blob):
            pass
    except (BlobCorrupt, BlobMissing) as error:
        log.error("left out of a ZIP: %s", error)
        return False
    return True


def _what_is_missing(pack: Pack, names: list[str]) -> str:
    privacy = f"{settings.HEADSHOTS_SITE_URL}{reverse('pages:privacy')}"
    whom = settings.HEADSHOTS_SUPPORT_EMAIL or settings.HEADSHOTS_ABUSE_EMAIL or f"the address on {privacy}"
    return _MISSING.format(files="\n".join(names), whom=whom, pack=pack.pk)


def _lazily(blob: Blob) -> Iterator[bytes]:
    """The blob's bytes, its file opened only when the ZIP comes to it."""
    yield from vault.stream_blob(blob)


async def in_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks, each fetched in a thread: reading and decrypting must not stop the event loop."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk


async def _with_first(first: bytes, others: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(others):
        yield first
        async for other in others:
            yield other


async def _nudges(name: str, holder: str) -> AsyncGenerator[bytes]:
    """Raises BudgetExceeded at the first step when the account has its share of streams open already."""
    limits = settings.HEADSHOTS_LIMITS
    budget = Budget("streams", limits.streams, _LEASE_SECONDS, per_holder=limits.streams_per_account)
    client = aioredis.Redis.from_url(settings.HEADSHOTS_REDIS_URL, socket_connect_timeout=2)
    end = time.monotonic() + _LONGEST_SECONDS
    try:
        async with budget.hold_async(holder=holder) as lease, client.pubsub() as watch:
            await watch.subscribe(name)
            # Whatever changed between the page and this subscription is fetched now.
            yield b"event: changed\ndata: 1\n\n"
            renew_at = time.monotonic() + _KEEP_ALIVE_SECONDS
            while time.monotonic() < end:
                message = await watch.get_message(ignore_subscribe_messages=True, timeout=_KEEP_ALIVE_SECONDS)
                if time.monotonic() >= renew_at:
                    await lease.renew_async()
                    renew_at = time.monotonic() + _KEEP_ALIVE_SECONDS
                yield b": still here\n\n" if message is None else b"event: changed\ndata: 1\n\n"
    except aioredis.RedisError:
        return  # The page falls back to polling and tries again.
    finally:
        await client.aclose()
