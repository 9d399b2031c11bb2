"""Everything about a person in one ZIP: what the tables hold, readable, and the pictures while they exist.

Read and decrypted while it is sent; nothing of it is written to a disk."""

import json
from collections.abc import Iterator

from asgiref.sync import sync_to_async
from django.contrib.auth.views import redirect_to_login
from django.core.cache import cache
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET

from headshots.accounts.models import User
from headshots.rights.gathering import Gathered, gather
from headshots.shoots.streams import in_thread
from headshots.vault import services as vault
from headshots.vault.errors import BlobCorrupt, BlobMissing, KeyGone
from headshots.web.zip_stream import ZipWriter, member_of

# Each may be gigabytes, read and decrypted for one person.
EXPORTS_PER_HOUR = 10

_READ_ME = """Everything that Headshots has about you.

account.json      your account, your shoots with what was found in each photo, your payments and your receipts, and
                  what we could not read any more, if anything. Any text editor opens it.
shoots/           your photos while we still have them, and your finished headshots while we have those. Beside a photo
                  lies what was found of the faces in it: a box, 468 points and some measurements for each.
texts/            what you agreed to, in the versions of that day.

Face embeddings are not here because they are not anywhere: they exist in memory while your pictures are made.
What was deleted before you asked is not here either; account.json has the receipts.
"""


@require_GET
async def export(request: HttpRequest) -> HttpResponseBase:
    """The ZIP, for whoever is signed in. A store that does not answer breaks it off: half of it would pass for all."""
    gathered = await sync_to_async(_gather)(request)
    if not isinstance(gathered, Gathered):
        return gathered
    response = StreamingHttpResponse(in_thread(_chunks(gathered)), content_type="application/zip")
    response["Content-Disposition"] = 'attachment; filename="my-headshots-data.zip"'
    response["Cache-Control"] = "no-store, private"
    response["X-Accel-Buffering"] = "no"
    return response


def _gather(request: HttpRequest) -> Gathered | HttpResponse:
    if not isinstance(request.user, User):
        return redirect_to_login(request.get_full_path())
    made = f"exports:{request.user.pk}"
    cache.add(made, 0, timeout=3600)
    if cache.incr(made) > EXPORTS_PER_HOUR:
        return render(request, "429.html", status=429)
    return gather(request.user)


def _chunks(gathered: Gathered) -> Iterator[bytes]:
    archive = ZipWriter()
    for name, text in {"README.txt": _READ_ME, **gathered.texts}.items():
        yield from archive.add(member_of(name, text.encode()))
    missing = []
    for picture in gathered.pictures:
        try:
            # Whole and verified before the ZIP says that there is such a file.
            data = vault.read_blob(picture.blob)
        except (KeyGone, BlobMissing):
            missing.append(picture.name)
        except BlobCorrupt as error:
            gathered.add_spoiled(picture.name, error)
        else:
            yield from archive.add(member_of(picture.name, data))
    lists = {"deleted_while_this_was_written": missing, "could_not_be_read": gathered.spoiled}
    account = {**gathered.account, **lists}
    text = json.dumps(account, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder)
    yield from archive.add(member_of("account.json", text.encode()))
    yield archive.end()
