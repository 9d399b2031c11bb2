from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.views.decorators.http import require_safe


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What the product promises, on one page."""
    return render(request, "pages/home.html", _figures())


@require_safe
def how(request: HttpRequest) -> HttpResponse:
    """How a photo becomes headshots, and how it is forgotten."""
    return render(request, "pages/how.html", _figures())


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Browsers ask for this address on pages that name no icon, the admin's for instance."""
    return redirect(static("logo.svg"))


def _figures() -> dict[str, object]:
    """The numbers that the pages name, from the settings that enforce them."""
    return {
        "preview_count": settings.HEADSHOTS_PREVIEW_COUNT,
        "result_days": settings.HEADSHOTS_RESULT_DAYS,
        "max_photos": settings.HEADSHOTS_MAX_PHOTOS,
    }
