"""Streams of a shoot's page: live updates (server-sent events) and the ZIP.

The views are asynchronous because Django reads a synchronous generator to its end under ASGI before it sends the first
byte.
"""

import asyncio
import logging
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET, require_safe
from redis import asyncio as aioredis

from headshots.shoots.access import shoot_or_404
from headshots.shoots.delivery.disclosure import zip_readme
from headshots.shoots.delivery.pictures import VERSIONS, file_name
from headshots.shoots.lifecycle import record_pack
from headshots.shoots.live import channel
from headshots.shoots.models import Pack
from headshots.vault import services as vault
from headshots.vault.errors import BlobCorrupt, BlobMissing, KeyGone, VaultUnavailable
from headshots.vault.models import Blob
from headshots.web.budgets import Budget, BudgetExceeded
from headshots.web.zip_stream import Member, member_of, stream_zip, zip_length

log = logging.getLogger(__name__)

_KEEP_ALIVE_SECONDS = 15
# A stream renews its lease every `_KEEP_ALIVE_SECONDS`. The lease of a killed process expires after this time.
_LEASE_SECONDS = 45
# Close the connection of a page that is left open after this time. The browser reconnects automatically.
_MAX_STREAM_SECONDS = 600
_MISSING = """Some of your headshots are missing from this ZIP file.

These files are damaged on our server:

{files}

All other files of this pack are included and complete. Please contact {whom}
and include this pack ID so we can help:

{pack}
"""


@require_GET
async def events(request: HttpRequest, shoot_id: UUID) -> HttpResponseBase:
    """Stream server-sent events: one "changed" for every nudge.

    Returns 204 without a live channel, or when the account has reached its limit of open streams. 204 tells EventSource
    to stop. The page then polls."""
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


@require_safe
async def download_zip(request: HttpRequest, shoot_id: UUID, pack_id: UUID) -> HttpResponseBase:
    """Stream every finished headshot of the pack as one ZIP, decrypted on the way. HEAD returns the length only.

    With `?favorites`, the ZIP has only the headshots that the customer marked."""
    shoot = await sync_to_async(shoot_or_404)(request, shoot_id)
    pack = await sync_to_async(get_object_or_404)(Pack, pk=pack_id, shoot=shoot)
    try:
        members, corrupt = await sync_to_async(_members)(pack, only_favorites="favorites" in request.GET)
    except VaultUnavailable:
        return HttpResponse("Please try again in a minute.", status=503, content_type="text/plain")
    except KeyGone:
        raise Http404 from None
    if not members:
        return HttpResponse("There's nothing to download yet.", status=404, content_type="text/plain")
    response: HttpResponseBase = (
        HttpResponse(content_type="application/zip")
        if request.method == "HEAD"
        else StreamingHttpResponse(in_thread(stream_zip(members)), content_type="application/zip")
    )
    size = pack.size.lower().replace(",", "").replace(" ", "-")
    name = f"headshots-{size}" if pack.kind == Pack.Kind.PREMIUM else "headshots"
    name += "-favorites" if "favorites" in request.GET else ""
    response["Content-Disposition"] = f'attachment; filename="{name}{"-incomplete" if corrupt else ""}.zip"'
    response["Content-Length"] = zip_length(members)
    response["Cache-Control"] = "no-store, private"
    return response


def _members(pack: Pack, *, only_favorites: bool = False) -> tuple[list[Member], list[str]]:
    """Return the files of the pack's ZIP, and the names of files that cannot be read.

    README.txt says how the pictures were made. If files are missing, MISSING.txt has their names. Packs with several
    versions per headshot have one folder per version. Raises KeyGone, VaultUnavailable."""
    members, corrupt = [], []
    finished = pack.headshots.filter(blob__isnull=False, **({"is_favorite": True} if only_favorites else {}))
    rows = list(finished.select_related("style", *VERSIONS.values()))
    several = any(row.web_blob_id for row in rows)
    for version, field in VERSIONS.items():
        for row in rows:
            blob: Blob | None = getattr(row, field)
            if blob is None:
                continue
            name = f"{version}/{file_name(row, version)}" if several else file_name(row, version)
            crc = _crc_of(blob)
            if crc is None:
                corrupt.append(name)
            else:
                members.append(Member(name, blob.size, crc, partial(vault.stream_blob, blob)))
    if members:
        members.append(member_of("README.txt", zip_readme(pack, has_versions=several).encode()))
    if corrupt:
        record_pack(pack, "files_corrupt", numbers={"files": len(corrupt)})
        members.append(member_of("MISSING.txt", _what_is_missing(pack, corrupt).encode()))
    return members, corrupt


def _crc_of(blob: Blob) -> int | None:
    """Return the CRC-32 of a file, or None if the file cannot be read to its end.

    Every file is read before the ZIP is sent. A ZIP with an announced length cannot leave out a file later, and
    streaming readers need the checksum in front of the file. 300 MB are read in half a second (docs/benchmarks.md)."""
    crc = 0
    try:
        for chunk in vault.stream_blob(blob):
            crc = zlib.crc32(chunk, crc)
    except (BlobCorrupt, BlobMissing) as error:
        log.error("file left out of a ZIP: %s", error)
        return None
    return crc


def _what_is_missing(pack: Pack, names: list[str]) -> str:
    privacy = f"{settings.HEADSHOTS_SITE_URL}{reverse('pages:privacy')}"
    whom = settings.HEADSHOTS_SUPPORT_EMAIL or settings.HEADSHOTS_ABUSE_EMAIL or f"the operator (see {privacy})"
    return _MISSING.format(files="\n".join(names), whom=whom, pack=pack.pk)


async def in_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks, each fetched in a thread, because reading and decrypting would block the event loop."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk


async def _with_first(first: bytes, others: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(others):
        yield first
        async for other in others:
            yield other


async def _nudges(name: str, holder: str) -> AsyncGenerator[bytes]:
    """Yield one event for every nudge, and a comment to keep the connection open.

    Raises BudgetExceeded at the first step if too many streams are open, of the account or in total."""
    limits = settings.HEADSHOTS_LIMITS
    budget = Budget("streams", limits.max_streams, _LEASE_SECONDS, per_holder=limits.max_streams_per_account)
    client = aioredis.Redis.from_url(settings.HEADSHOTS_REDIS_URL, socket_connect_timeout=2)
    end = time.monotonic() + _MAX_STREAM_SECONDS
    try:
        async with budget.hold_async(holder=holder) as lease, client.pubsub() as watch:
            await watch.subscribe(name)
            # Make the page fetch what changed between its rendering and this subscription.
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
