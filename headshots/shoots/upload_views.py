"""The upload page: the form, what is wrong with what was sent, and the way to the new shoot."""

import logging
from contextlib import suppress
from uuid import uuid4

import redis
from allauth.core import ratelimit
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from headshots import engine
from headshots.accounts.models import User
from headshots.shoots.consent import Changes, changes_since, current
from headshots.shoots.forms import NewShootForm
from headshots.shoots.models import Consent, Pause
from headshots.shoots.pausing import is_paused
from headshots.shoots.person import NOTHING_SAID, PersonForm
from headshots.shoots.uploads import AccountClosed, NoPreviewsLeft, open_shoot, previews_left
from headshots.vault.errors import VaultError
from headshots.web.budgets import Budget, BudgetExceeded

log = logging.getLogger(__name__)

_NO_ROOM = "We have no room for your photos right now. Nothing was kept; please try again later."
_BUSY = "We are reading other people's photos right now. Nothing was kept; please try again in a few seconds."
_TOO_MANY = "You have sent many photos in a short time. Nothing was kept; please try again in ten minutes."
_TOO_MANY_SECONDS = 600
# Uploads that are read or wait for it: for each photo that is decoded at a time, and of one account. Each takes a
# thread of a web process; more would leave too few for the pages.
_UPLOADS_PER_DECODE, _UPLOADS_PER_ACCOUNT = 4, 2
# Longer than an upload may take: waiting, decoding and storing. The share of a killed process is free after it.
_LEASE_SECONDS = 150


# What a stranger sends is not read: they are sent to sign in without the check, which would only say "forbidden".
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Upload one to five photos; nothing is stored unless all of them can be used."""
    if isinstance(request.user, User):
        return _new(request)
    if request.method != "POST":
        return redirect_to_login(request.get_full_path())
    # The session ended after the form was opened: the page to sign in and the form say that nothing was kept.
    return redirect_to_login(f"{request.path}?unsent=1")


@csrf_protect
def _new(request: HttpRequest) -> HttpResponse:
    owner = request.user
    assert isinstance(owner, User)
    if request.method == "POST":
        return _receive(request, owner)
    return _page(owner, request, NewShootForm(initial={"submission": uuid4()}), _person_form())


def _receive(request: HttpRequest, owner: User) -> HttpResponse:
    """Open the shoot of an upload, or say in the form why there is none."""
    form, about = NewShootForm(request.POST, request.FILES, owner=owner), _person_form(request)
    # The same form sent twice leads to the shoot that it made, also when that was the last free one.
    if earlier := form.earlier_shoot(owner):
        return redirect(earlier)
    if is_paused(Pause.What.UPLOADS):
        return _page(owner, request, form, about, status=503)
    if not previews_left(owner):
        return _page(owner, request, form, about, status=429)
    photos = min(len(request.FILES.getlist("photos")), settings.HEADSHOTS_MAX_PHOTOS)
    if not _count_attempts(request, photos):
        form.refuse(_TOO_MANY)
        return _page(owner, request, form, about, status=429, retry_after=_TOO_MANY_SECONDS)
    total = _UPLOADS_PER_DECODE * settings.HEADSHOTS_LIMITS.decodes_at_once
    uploads = Budget("uploads", total=total, per_holder=_UPLOADS_PER_ACCOUNT, lease_seconds=_LEASE_SECONDS)
    try:
        with uploads.hold(holder=str(owner.pk)):
            about_is_valid = about is None or about.is_valid()
            if form.is_valid() and about_is_valid:
                told = {name: form.cleaned_data[name] for name in ("photos", "submission", "ask_first")}
                return redirect(open_shoot(owner=owner, person=about.person if about else NOTHING_SAID, **told))
        _count_decoding(request, form)
    except BudgetExceeded as busy:
        _count_decoding(request, form)
        form.refuse(_BUSY)
        return _page(owner, request, form, about, status=503, retry_after=busy.retry_after_seconds)
    except NoPreviewsLeft:
        return _page(owner, request, form, about, status=429)
    except AccountClosed:
        return redirect("pages:home")
    except (VaultError, OSError, OperationalError) as error:
        log.error("an upload could not be stored: %s", type(error).__name__)
        form.refuse(_NO_ROOM)
        return _page(owner, request, form, about, status=503)
    return _page(owner, request, form, about, status=422)


def _count_attempts(request: HttpRequest, count: int) -> bool:
    """Count so many attempts for the account and the address. Returns False beyond the limit."""
    # Without its server the limit is not kept: what is decoded at once is limited all the same (headshots.web.budgets).
    with suppress(redis.RedisError):
        return all(ratelimit.consume(request, action="upload") for _ in range(count))
    return True


def _count_decoding(request: HttpRequest, form: NewShootForm) -> None:
    """Count what an upload that came to nothing has cost: beside one attempt for each photo, one a second of decoding.

    Good photos count as well. Sent without a tick they would keep the decoders busy for nothing."""
    _count_attempts(request, int(form.decoder_seconds))


def _person_form(request: HttpRequest | None = None) -> PersonForm | None:
    """Return the questions about the person, where the engine asks them."""
    return PersonForm(request.POST if request else None) if engine.draws_new_pictures() else None


def _page(
    owner: User,
    request: HttpRequest,
    form: NewShootForm,
    about: PersonForm | None,
    *,
    status: int = 200,
    retry_after: int | None = None,
) -> HttpResponse:
    context = {
        "form": form,
        "about": about,
        "unsent": "unsent" in request.GET and not form.is_bound,
        "paused": is_paused(Pause.What.UPLOADS),
        "previews_left": previews_left(owner),
        "previews_per_day": settings.HEADSHOTS_PREVIEWS_PER_DAY,
        "preview_count": settings.HEADSHOTS_PREVIEW_COUNT,
        "max_photos": settings.HEADSHOTS_MAX_PHOTOS,
        "max_photo_bytes": settings.HEADSHOTS_MAX_PHOTO_BYTES,
        "consent_text": current("consent"),
        "is_me_text": current("is_me"),
        "consent_changes": _consent_changes(owner),
    }
    response = render(request, "shoots/new.html", context, status=status)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def _consent_changes(owner: User) -> Changes | None:
    """Return what is new in the consent's text since the person's last one, None when nothing is."""
    last = Consent.objects.filter(shoot__owner=owner).order_by("-given_at").first()
    return changes_since("consent", last.consent_version) if last else None
