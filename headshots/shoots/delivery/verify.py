"""The /verify/ page: show the provenance data in a picture's file. Nothing is stored."""

from allauth.account.adapter import get_adapter
from allauth.core import ratelimit
from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from headshots import engine
from headshots.web.budgets import Budget, BudgetExceeded

_WORDS = {
    engine.Reason.TOO_LARGE: "The picture is too large; it may have up to 25 MB.",
    engine.Reason.UNSUPPORTED_FORMAT: "This file is not a JPEG, PNG or WebP; we can read only these.",
}
_UNREADABLE = "This file cannot be read as a picture."
_BUSY = "We are reading other pictures right now. Please try again in a few seconds."
# Longer than the reader's timeout (pipeline/files/provenance.py). The lease of a killed process expires after it.
_LEASE_SECONDS = 15


class VerifyForm(forms.Form):
    """A form for one picture."""

    picture = forms.FileField(
        widget=forms.ClearableFileInput(attrs={"accept": "image/jpeg,image/png,image/webp"}),
        error_messages={"required": "Please choose a picture."},
    )


@require_http_methods(["GET", "HEAD", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """Show the form, and after an upload the marks of the file."""
    if request.method != "POST":
        return render(request, "shoots/verify.html", {"form": VerifyForm()})
    # Reading takes a process and a second, so the readings of each address are limited per minute.
    if not ratelimit.consume(request, action="verify"):
        return render(request, "429.html", status=429)
    form = VerifyForm(request.POST, request.FILES)
    busy, found = None, None
    if form.is_valid():
        try:
            found = _read_provenance(form, address=get_adapter().get_client_ip(request))
        except BudgetExceeded as error:
            busy = error
            form.add_error(None, _BUSY)
    status = 503 if busy else 200 if found else 422
    response = render(request, "shoots/verify.html", {"form": form, "provenance": found}, status=status)
    response["Cache-Control"] = "no-store"
    if busy:
        response["Retry-After"] = str(busy.retry_after_seconds)
    return response


def _read_provenance(form: VerifyForm, *, address: str) -> object | None:
    """Return the marks of the form's picture for the template.

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
