"""What every page may know of pauses: asked of the database only where a page says something about them."""

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from headshots.shoots.models import Pause
from headshots.shoots.pausing import is_paused


def pauses(request: HttpRequest) -> dict[str, object]:
    """`uploads_paused`, `rendering_paused`."""
    return {
        "uploads_paused": SimpleLazyObject(lambda: is_paused(Pause.What.UPLOADS)),
        "rendering_paused": SimpleLazyObject(lambda: is_paused(Pause.What.RENDERING)),
    }
