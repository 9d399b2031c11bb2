"""Stopping uploads or rendering for a while. What is under way is finished, what waits keeps its place."""

from headshots.shoots.models import Pause


def is_paused(what: Pause.What) -> bool:
    return Pause.objects.filter(what=what).exists()


def pause(what: Pause.What) -> bool:
    """Whether this caller stopped it."""
    _, made = Pause.objects.get_or_create(what=what)
    return made


def resume(what: Pause.What) -> bool:
    """Whether this caller let it go on. Beat wakes the packs that wait."""
    deleted, _ = Pause.objects.filter(what=what).delete()
    return deleted > 0
