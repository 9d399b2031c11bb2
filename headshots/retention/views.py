from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from headshots.vault.rings import source_keys_are_in_memory


@require_safe
def schedule(request: HttpRequest) -> HttpResponse:
    """The public retention schedule, with the numbers that this installation enforces."""
    context = {
        "photos_life": in_words(settings.HEADSHOTS_SOURCE_TTL_SECONDS),
        "headshots_life": in_words(settings.HEADSHOTS_RESULT_DAYS * 86_400),
        "keys_in_memory": source_keys_are_in_memory(),
        "mail_files": getattr(settings, "EMAIL_FILE_PATH", None) is not None,
    }
    return render(request, "retention/schedule.html", context)


def in_words(seconds: int) -> str:
    """A time as people say it, in the largest unit that it is a whole number of, hours up to two days: "24 hours"."""
    for size, unit, least in ((86_400, "day", 2 * 86_400), (3600, "hour", 3600), (60, "minute", 60), (1, "second", 0)):
        if seconds >= least and seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError("any number of seconds is a whole number of seconds")
