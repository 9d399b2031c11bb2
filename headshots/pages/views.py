"""Public pages such as home, terms and imprint, and what phones and search engines ask for."""

from collections.abc import Callable

from allauth.core import ratelimit
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from headshots.pages.forms import ReportForm
from headshots.web.humanize import humanize_bytes, humanize_days, humanize_duration

# The built-in limit for the distance of a headshot to the photos, as the guide to likeness states it.
BUILT_IN_MAX_DISTANCE = 0.53


@require_safe
def home(request: HttpRequest, is_generative: Callable[[], bool]) -> HttpResponse:
    """Show the home page.

    is_generative: returns True if a generative model draws the pictures. Such a model keeps neither clothes nor hair,
    so the page promises something else."""
    return render(request, "pages/home.html", {**_figures(), "is_generative": is_generative()})


@require_safe
def how(request: HttpRequest, is_generative: Callable[[], bool]) -> HttpResponse:
    """Show how a photo becomes headshots, and how the photo is deleted. is_generative: as for `home`."""
    return render(request, "pages/how.html", {**_figures(), "is_generative": is_generative()})


@require_safe
def likeness(request: HttpRequest, is_generative: Callable[[], bool]) -> HttpResponse:
    """Show the guide to face embeddings, to the check of pictures, and to the likeness that pages show.

    is_generative: as for `home`."""
    context = {
        **_figures(),
        "is_generative": is_generative(),
        "max_distance": settings.HEADSHOTS_LIKENESS_MAX_DISTANCE or BUILT_IN_MAX_DISTANCE,
        "own_calibration": settings.HEADSHOTS_LIKENESS_CALIBRATION is not None,
    }
    return render(request, "pages/likeness.html", context)


@require_safe
def privacy(request: HttpRequest) -> HttpResponse:
    """Show the privacy policy, with the retention periods and data processors of this installation."""
    return render(request, "pages/privacy.html", {**_figures(), **_operator()})


@require_http_methods(["GET", "HEAD", "POST"])
def abuse(request: HttpRequest, receive_report: Callable[..., str]) -> HttpResponse:
    """Show how to report misuse and what happens then, and take a report.

    receive_report: passes a report on and returns its number. Raises OSError."""
    form, status, context = ReportForm(request.POST or None), 200, _operator()
    if request.method == "POST" and settings.HEADSHOTS_ABUSE_EMAIL:
        if not ratelimit.consume(request, action="report"):
            return render(request, "429.html", status=429)
        status = 422
        if form.is_valid():
            # Otherwise, confirmations from many networks could flood the mailbox of someone else.
            if not ratelimit.consume(request, action="report_to", key=form.cleaned_data["email"].lower()):
                return render(request, "429.html", status=429)
            try:
                number = receive_report(**form.cleaned_data)
                return render(request, "pages/abuse_received.html", {**context, "number": number})
            except OSError:
                form.add_error(None, "We couldn’t send your report. Please try again later, or send us an email.")
                status = 503
    return render(request, "pages/abuse.html", {**context, "form": form}, status=status)


@require_safe
def imprint(request: HttpRequest) -> HttpResponse:
    """Show who operates this site. Answers 404 without a name."""
    if not settings.HEADSHOTS_OPERATOR:
        raise Http404
    return render(request, "pages/imprint.html", _operator())


@require_safe
def terms(request: HttpRequest, is_generative: Callable[[], bool]) -> HttpResponse:
    """Show the terms of use.

    is_generative: returns True if a generative model is used, whose license also binds the customers."""
    return render(request, "pages/terms.html", {**_figures(), **_operator(), "is_generative": is_generative()})


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Redirect to the logo.

    Browsers request this URL on pages that name no icon, such as the admin's."""
    return redirect(static("logo.svg"))


@require_safe
def manifest(request: HttpRequest) -> JsonResponse:
    """Describe the site for phones that put it on their home screen (W3C Web Application Manifest)."""
    icons = [
        {"src": static(f"img/icon-{size}.png"), "sizes": f"{size}x{size}", "type": "image/png"} for size in (180, 512)
    ]
    content = {
        "name": "Headshots",
        "start_url": reverse("pages:home"),
        "display": "browser",
        "background_color": "#faf9f6",
        "theme_color": "#faf9f6",
        "icons": icons,
    }
    return JsonResponse(content, content_type="application/manifest+json")


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    """Tell search engines which pages are public, and where the list of them is."""
    private = ("/account/", "/accounts/", "/admin/", "/payments/", "/shoots/")
    lines = ["User-agent: *", *(f"Disallow: {path}" for path in private)]
    lines.append(f"Sitemap: {request.build_absolute_uri(reverse('sitemap'))}")
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")


def _figures() -> dict[str, object]:
    """Return the numbers that pages state, from the settings that enforce them."""
    return {
        "premium_count": settings.HEADSHOTS_PREMIUM_COUNT,
        "preview_count": settings.HEADSHOTS_PREVIEW_COUNT,
        "max_photos": settings.HEADSHOTS_MAX_PHOTOS,
        "max_photo_size": humanize_bytes(settings.HEADSHOTS_MAX_PHOTO_BYTES),
        "photo_retention": humanize_duration(settings.HEADSHOTS_PHOTO_TTL_SECONDS),
        "headshot_retention": humanize_days(settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS),
        "payment_retention": humanize_days(settings.HEADSHOTS_PAYMENT_RETENTION_DAYS),
        "record_retention": humanize_days(settings.HEADSHOTS_DELETION_RECORD_DAYS),
        "backup_retention": humanize_days(settings.HEADSHOTS_BACKUP_DAYS) if settings.HEADSHOTS_BACKUP_DAYS else "",
        "session_lifetime": humanize_duration(settings.SESSION_COOKIE_AGE),
    }


def _operator() -> dict[str, object]:
    """Return the operator of this installation, the email address for reports, and the data processors."""
    return {
        "operator": settings.HEADSHOTS_OPERATOR,
        "details": settings.HEADSHOTS_OPERATOR_DETAILS,
        "abuse_email": settings.HEADSHOTS_ABUSE_EMAIL,
        "mail_server": bool(settings.HEADSHOTS_EMAIL_URL),
        "stripe": bool(settings.HEADSHOTS_STRIPE_SECRET_KEY),
        "bucket": bool(settings.HEADSHOTS_S3_BUCKET),
        "processors": settings.HEADSHOTS_DATA_PROCESSORS,
    }
