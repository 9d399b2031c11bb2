"""Public pages: home, how it works, likeness, privacy, terms, abuse."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.views.decorators.http import require_safe

from headshots.web.humanize import humanize_days, humanize_duration


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the home page."""
    return render(request, "pages/home.html", _figures())


@require_safe
def how(request: HttpRequest) -> HttpResponse:
    """Show how a photo becomes headshots, and how the photo is deleted."""
    return render(request, "pages/how.html", _figures())


@require_safe
def likeness(request: HttpRequest) -> HttpResponse:
    """Show the guide to face embeddings, to the check of pictures, and to the likeness that pages show."""
    return render(request, "pages/likeness.html", _figures())


@require_safe
def privacy(request: HttpRequest) -> HttpResponse:
    """Show the privacy policy, with the retention periods and data processors of this installation."""
    return render(request, "pages/privacy.html", {**_figures(), **_operator()})


@require_safe
def abuse(request: HttpRequest) -> HttpResponse:
    """Show how to report misuse, and what happens then."""
    return render(request, "pages/abuse.html", _operator())


@require_safe
def terms(request: HttpRequest, is_generative: Callable[[], bool]) -> HttpResponse:
    """Show the terms of use.

    is_generative: returns True if a generative model is used, whose license also binds the customers."""
    return render(request, "pages/terms.html", {**_figures(), **_operator(), "model_license": is_generative()})


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Redirect to the logo.

    Browsers request this URL on pages that name no icon, such as the admin's."""
    return redirect(static("logo.svg"))


def _figures() -> dict[str, object]:
    """Return the numbers that pages state, from the settings that enforce them."""
    return {
        "preview_count": settings.HEADSHOTS_PREVIEW_COUNT,
        "headshot_retention_days": settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS,
        "max_photos": settings.HEADSHOTS_MAX_PHOTOS,
        "photo_retention": humanize_duration(settings.HEADSHOTS_PHOTO_TTL_SECONDS),
        "headshot_retention": humanize_days(settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS),
        "payment_retention": humanize_days(settings.HEADSHOTS_PAYMENT_RETENTION_DAYS),
        "record_retention": humanize_days(settings.HEADSHOTS_DELETION_RECORD_DAYS),
        "backup_retention": humanize_days(settings.HEADSHOTS_BACKUP_DAYS) if settings.HEADSHOTS_BACKUP_DAYS else "",
        "session_lifetime": humanize_duration(settings.SESSION_COOKIE_AGE),
    }


def _operator() -> dict[str, object]:
    """Return the operator of this installation, its contact for misuse, and its data processors."""
    return {
        "operator": settings.HEADSHOTS_OPERATOR,
        "abuse_email": settings.HEADSHOTS_ABUSE_EMAIL,
        "mail_server": bool(settings.HEADSHOTS_EMAIL_URL),
        "stripe": bool(settings.HEADSHOTS_STRIPE_SECRET_KEY),
        "processors": settings.HEADSHOTS_DATA_PROCESSORS,
    }
