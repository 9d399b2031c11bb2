"""Pause uploads or rendering. What is under way is finished; what waits keeps its place."""

from django.db import transaction
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from headshots.celery import send_on_commit
from headshots.shoots.models import Pause


def is_paused(part: Pause.Part) -> bool:
    return Pause.objects.filter(part=part).exists()


def pause(part: Pause.Part) -> bool:
    """Whether this caller stopped it."""
    _, made = Pause.objects.get_or_create(part=part)
    return made


def resume(part: Pause.Part) -> bool:
    """Whether this caller let it go on. The packs that wait are woken at once."""
    with transaction.atomic():
        deleted, _ = Pause.objects.filter(part=part).delete()
        if deleted and part == Pause.Part.RENDERING:
            send_on_commit("shoots.enqueue_waiting")
    return deleted > 0


def pauses(request: HttpRequest) -> dict[str, object]:
    """`uploads_paused`, `rendering_paused`."""
    return {
        "uploads_paused": SimpleLazyObject(lambda: is_paused(Pause.Part.UPLOADS)),
        "rendering_paused": SimpleLazyObject(lambda: is_paused(Pause.Part.RENDERING)),
    }
