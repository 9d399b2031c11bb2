"""/verify/: what a picture says about how it was made. Open to anybody; nothing is kept, nothing is fetched."""

from allauth.core import ratelimit
from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from headshots import engine


class VerifyForm(forms.Form):
    """One file."""

    picture = forms.FileField(
        widget=forms.ClearableFileInput(attrs={"accept": "image/jpeg,image/png"}),
        error_messages={"required": "Please choose a picture."},
    )


@require_http_methods(["GET", "HEAD", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """The form, and after an upload what the file's marks say."""
    if request.method != "POST":
        return render(request, "shoots/verify.html", {"form": VerifyForm()})
    # Reading takes a process and a second: nobody gets more than a few a minute.
    if not ratelimit.consume(request, action="verify"):
        return render(request, "429.html", status=429)
    form = VerifyForm(request.POST, request.FILES)
    marks = None
    if form.is_valid():
        picture = form.cleaned_data["picture"]
        if picture.size > settings.HEADSHOTS_MAX_PHOTO_BYTES:
            form.add_error("picture", "The picture is too large; it may have up to 25 MB.")
        elif (marks := engine.read_marks(picture.read())) is None:
            form.add_error("picture", "This file cannot be read as a picture.")
    response = render(request, "shoots/verify.html", {"form": form, "marks": marks}, status=200 if marks else 422)
    response["Cache-Control"] = "no-store"
    return response
