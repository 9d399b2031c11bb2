"""Serve one picture of a shoot, and name its file for downloads."""

import logging
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from headshots.shoots.access import no_store, shoot_or_404
from headshots.shoots.models import FaceCrop, Headshot
from headshots.vault import services as vault
from headshots.vault.errors import BlobCorrupt, BlobMissing, VaultError, VaultUnavailable
from headshots.vault.models import Blob

log = logging.getLogger(__name__)

# Versions of a headshot to download: the name in URLs, and the field of the row that holds the file.
VERSIONS = {"full": "blob", "web": "web_blob", "profile": "profile_blob"}
_SHOWN = VERSIONS | {"thumbnail": "thumbnail_blob"}


@require_safe
def headshot(request: HttpRequest, shoot_id: UUID, headshot_id: UUID, version: str = "full") -> HttpResponse:
    """Serve one finished headshot: `full`, `web`, `profile` or `thumbnail`. With `?download`, the browser saves it."""
    shoot = shoot_or_404(request, shoot_id)
    row = get_object_or_404(
        Headshot.objects.select_related("style", *_SHOWN.values()), pk=headshot_id, pack__shoot=shoot
    )
    blob = getattr(row, _SHOWN.get(version, ""), None)
    if blob is None:
        raise Http404
    response = _picture(blob, "image/webp" if version == "thumbnail" else "image/jpeg")
    if "download" in request.GET and version in VERSIONS:
        response["Content-Disposition"] = f'attachment; filename="{file_name(row, version)}"'
    return response


@require_safe
def face_crop(request: HttpRequest, shoot_id: UUID, photo_id: UUID, number: int) -> HttpResponse:
    """Serve one of the faces from which the customer picks their own."""
    shoot = shoot_or_404(request, shoot_id)
    crop = get_object_or_404(
        FaceCrop.objects.select_related("blob"), photo__shoot=shoot, photo_id=photo_id, index=number
    )
    return _picture(crop.blob)


def file_name(headshot: Headshot, version: str = "full") -> str:
    """Return the file name of a headshot: number, look and version, without personal data."""
    name = f"headshot-{headshot.index + 1:02d}-{headshot.style.name}"
    return f"{name}.jpg" if version == "full" else f"{name}-{version}.jpg"


def _picture(blob: Blob, content_type: str = "image/jpeg") -> HttpResponse:
    try:
        return no_store(HttpResponse(vault.read_blob(blob), content_type=content_type))
    except VaultUnavailable:
        return no_store(HttpResponse("Please try again in a minute.", status=503, content_type="text/plain"))
    except (BlobCorrupt, BlobMissing) as error:
        # The key exists, so the picture was not deleted but is damaged.
        log.error("a picture cannot be read: %s", error)
        raise Http404 from None
    except VaultError:
        # The picture was deleted after its row was read.
        raise Http404 from None
