"""Verification: show how a picture was made, from its file and its pixels. As a page, and as JSON for programs.

Nothing is stored.
"""

from dataclasses import asdict

from allauth.account.adapter import get_adapter
from allauth.core import ratelimit
from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from headshots import engine
from headshots.shoots.delivery.disclosure import DISCLOSURES, Disclosure, disclosure_of
from headshots.web.budgets import Budget, BudgetExceeded

_WORDS = {
    engine.Reason.TOO_LARGE: "This picture is too large. Pictures can be up to 25 MB.",
    engine.Reason.UNSUPPORTED_FORMAT: "This file isn't a JPEG, PNG or WebP picture.",
}
_UNREADABLE = "We can't read this file as a picture."
_TOO_MANY = "You've verified too many pictures. Please try again in a minute."
_BUSY = "We're checking other pictures right now. Please try again in a few seconds."
# Longer than the reader's timeout (pipeline/files/provenance.py). The lease of a killed process expires after it.
_LEASE_SECONDS = 25


class VerifyForm(forms.Form):
    """A form for one picture."""

    picture = forms.FileField(
        widget=forms.ClearableFileInput(attrs={"accept": "image/jpeg,image/png,image/webp"}),
        error_messages={"required": "Please choose a picture."},
    )


@require_http_methods(["GET", "HEAD", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """Show the form, and after an upload the provenance of the picture."""
    if request.method != "POST":
        return render(request, "shoots/verify.html", {"form": VerifyForm()})
    # Reading takes a process and a second, so the readings of each address are limited per minute.
    if not ratelimit.consume(request, action="verify"):
        return render(request, "429.html", status=429)
    form = VerifyForm(request.POST, request.FILES)
    found, headers = _verify(request, form)
    status = 503 if headers else 200 if found else 422
    context = {"form": form, "provenance": found, **_disclosures(found)}
    response = render(request, "shoots/verify.html", context, status=status)
    return _finish(response, headers)


# Reads no cookie and changes nothing, so a request from another site can do no harm.
@csrf_exempt
@require_POST
def verify_json(request: HttpRequest) -> HttpResponse:
    """Return the provenance of the field `picture` as JSON. The answer to a refused picture has only `error`."""
    if not ratelimit.consume(request, action="verify"):
        return JsonResponse({"error": _TOO_MANY}, status=429)
    form = VerifyForm(request.POST, request.FILES)
    found, headers = _verify(request, form)
    if found is None:
        error = " ".join(str(message) for messages in form.errors.values() for message in messages)
        return _finish(JsonResponse({"error": error}, status=503 if headers else 422), headers)
    return _finish(JsonResponse(asdict(found)), headers)


def _verify(request: HttpRequest, form: VerifyForm) -> tuple[engine.Provenance | None, dict[str, str]]:
    """Return the provenance of the form's picture, or None with an error in the form, and headers if we are busy."""
    if not form.is_valid():
        return None, {}
    try:
        return _read_provenance(form, address=get_adapter().get_client_ip(request)), {}
    except BudgetExceeded as busy:
        form.add_error(None, _BUSY)
        return None, {"Retry-After": str(busy.retry_after_seconds)}


def _disclosures(found: engine.Provenance | None) -> dict[str, Disclosure | None]:
    """Return the words for what the file says, and for the engine that the watermark names. None if it is unknown."""
    source, maker = (found.source_type, found.watermark) if found else (None, None)
    return {
        "disclosure": next((words for kind, words in DISCLOSURES.items() if kind == source), None),
        "watermark_disclosure": disclosure_of(maker) if maker else None,
    }


def _finish(response: HttpResponse, headers: dict[str, str]) -> HttpResponse:
    for name, value in (headers | {"Cache-Control": "no-store"}).items():
        response[name] = value
    return response


def _read_provenance(form: VerifyForm, *, address: str) -> engine.Provenance | None:
    """Return the provenance of the form's picture.

    Returns None, and adds an error to the form, if the picture is refused or unreadable. Raises BudgetExceeded."""
    picture = form.cleaned_data["picture"]
    try:
        if picture.size > settings.HEADSHOTS_MAX_PHOTO_BYTES:
            raise engine.PhotoRefused(engine.Reason.TOO_LARGE)
        # Each reading takes a process. Limit the readings of all web processes together, and allow one per address.
        total = settings.HEADSHOTS_LIMITS.max_concurrent_verifications
        with Budget("verify", total=total, per_holder=1, lease_seconds=_LEASE_SECONDS).hold(holder=address):
            found = engine.read_provenance(picture.read())
    except engine.PhotoRefused as refused:
        form.add_error("picture", _WORDS[refused.reason])
        return None
    if found is None:
        form.add_error("picture", _UNREADABLE)
    return found
