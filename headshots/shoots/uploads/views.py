"""Pages of an upload: the form, the self-description, and the question which face is the customer's."""

import logging
from contextlib import suppress
from dataclasses import asdict
from uuid import UUID, uuid4

import redis
from allauth.core import ratelimit
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST

from headshots import engine
from headshots.accounts.models import User
from headshots.shoots.access import no_store, shoot_or_404
from headshots.shoots.consent import Changes, changes_since, current
from headshots.shoots.lifecycle import close_without_key
from headshots.shoots.models import Consent, Pause
from headshots.shoots.pauses import is_paused
from headshots.shoots.self_description import (
    NO_SELF_DESCRIPTION,
    SelfDescriptionForm,
    read_self_description,
    write_self_description,
)
from headshots.shoots.uploads import identity
from headshots.shoots.uploads.forms import NewShootForm
from headshots.shoots.uploads.new_shoot import AccountClosed, NoPreviewsLeft, open_shoot, previews_left
from headshots.vault.errors import KeyGone, VaultError
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
    return _page(owner, request, NewShootForm(initial={"submission": uuid4()}), _self_description_form())


def _receive(request: HttpRequest, owner: User) -> HttpResponse:
    """Open the shoot of an upload, or say in the form why there is none."""
    form, about = NewShootForm(request.POST, request.FILES, owner=owner), _self_description_form(request)
    # The same form sent twice leads to the shoot that it made, also when that was the last free one.
    if earlier := form.earlier_shoot(owner):
        return redirect(earlier)
    if is_paused(Pause.Part.UPLOADS):
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
                return redirect(
                    open_shoot(
                        owner=owner, self_description=about.self_description if about else NO_SELF_DESCRIPTION, **told
                    )
                )
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


def _self_description_form(request: HttpRequest | None = None) -> SelfDescriptionForm | None:
    """Return the questions about the person, where the engine asks them."""
    return SelfDescriptionForm(request.POST if request else None) if engine.draws_new_pictures() else None


def _page(
    owner: User,
    request: HttpRequest,
    form: NewShootForm,
    about: SelfDescriptionForm | None,
    *,
    status: int = 200,
    retry_after: int | None = None,
) -> HttpResponse:
    context = {
        "form": form,
        "about": about,
        "unsent": "unsent" in request.GET and not form.is_bound,
        "paused": is_paused(Pause.Part.UPLOADS),
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


@require_POST
def choose_faces(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """The answers to "which one is you?", of one or several photos: `face-<photo>` is a face's number or `none`."""
    shoot = shoot_or_404(request, shoot_id)
    try:
        answers = {UUID(name[5:]): _face(value) for name, value in request.POST.items() if name.startswith("face-")}
    except ValueError:
        answers = {}
    try:
        if not identity.choose_faces(shoot=shoot, answers=answers):
            messages.error(request, "Please pick one of the faces shown.")
    except KeyGone:
        close_without_key(shoot)
    except VaultError as error:
        log.error("shoot %s: the faces of a photo could not be read: %s", shoot.pk, error)
        messages.error(request, "We can't read this photo right now. Please try again in a minute.")
    return redirect("shoots:detail", shoot_id)


def _face(answer: object) -> int:
    if answer == "none":
        return identity.NOT_IN_IT
    if not (isinstance(answer, str) and answer.isdecimal()):
        raise ValueError("not the number of a face")
    return int(answer)


@require_http_methods(["GET", "HEAD", "POST"])
def about(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """What the person said about themselves, to be corrected while there may be more pictures."""
    shoot = shoot_or_404(request, shoot_id)
    if not (shoot.is_open and engine.draws_new_pictures()):
        raise Http404
    try:
        form = SelfDescriptionForm(
            request.POST if request.method == "POST" else None, initial=asdict(read_self_description(shoot=shoot))
        )
        if not form.is_valid():
            status = 422 if form.is_bound else 200
            return no_store(render(request, "shoots/about.html", {"shoot": shoot, "about": form}, status=status))
        kept = write_self_description(shoot=shoot, self_description=form.self_description)
    except VaultError:
        # Forgotten at this moment: so are the words.
        kept = False
    if kept:
        messages.success(request, "Thank you. Pictures that are made from now on follow it.")
    return redirect(shoot)
