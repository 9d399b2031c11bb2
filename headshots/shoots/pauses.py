"""Pause uploads or rendering. Workers finish the pictures they have claimed. Waiting packs keep their place."""

from django.db import transaction
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from headshots.celery import send_on_commit
from headshots.shoots.models import Pause


def is_paused(part: Pause.Part) -> bool:
    return Pause.objects.filter(part=part).exists()


def pause(part: Pause.Part) -> bool:
    """Pause a part of the product. Returns True if this call paused it."""
    _, made = Pause.objects.get_or_create(part=part)
    return made


def resume(part: Pause.Part) -> bool:
    """End the pause of a part. Returns True if this call ended it.

    After a pause of rendering, the waiting packs are enqueued at once."""
    with transaction.atomic():
        deleted, _ = Pause.objects.filter(part=part).delete()
        if deleted and part == Pause.Part.RENDERING:
            send_on_commit("shoots.enqueue_waiting")
    return deleted > 0


def pauses(request: HttpRequest) -> dict[str, object]:
    """Return the context variables `uploads_paused` and `rendering_paused`, each evaluated when it is used."""
    return {
        "uploads_paused": SimpleLazyObject(lambda: is_paused(Pause.Part.UPLOADS)),
        "rendering_paused": SimpleLazyObject(lambda: is_paused(Pause.Part.RENDERING)),
    }
