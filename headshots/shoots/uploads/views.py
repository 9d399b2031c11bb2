"""Pages of an upload: the form, the self-description, and the question which face is the customer's."""

import errno
import logging
import sqlite3
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
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
from headshots.accounts.current_user import current_user
from headshots.accounts.models import User
from headshots.shoots.access import no_store, shoot_or_404
from headshots.shoots.consent import Changes, changes_since, current
from headshots.shoots.lifecycle import close_without_key
from headshots.shoots.models import Consent, Pause, Shoot
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
from headshots.vault.errors import BlobCorrupt, BlobMissing, KeyGone, VaultError
from headshots.web.budgets import Budget, BudgetExceeded

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadRefusal:
    """The response to an upload that was not accepted.

    Attributes:
        status: HTTP status.
        sentence: error shown in the form. Empty where the page has its own text.
        retry_after: seconds until the next try, for the Retry-After header."""

    status: int
    sentence: str = ""
    retry_after: int | None = None


_PAUSED = UploadRefusal(503)
_NO_PREVIEWS_LEFT = UploadRefusal(429)
# The form shows the errors next to its fields.
_INVALID = UploadRefusal(422)
_TOO_MANY = UploadRefusal(
    429, "You've uploaded a lot of photos in a short time. Nothing was saved. Please try again in ten minutes.", 600
)
_BUSY = UploadRefusal(
    503, "We're busy with other uploads right now. Nothing was saved. Please try again in a few seconds."
)
_NO_SPACE = UploadRefusal(503, "We’re out of storage space right now. Nothing was saved. Please try again later.")
_NOT_STORED = UploadRefusal(503, "We couldn't save your upload. Nothing was saved. Please try again in a few minutes.")
_ANSWERS_NOT_SAVED = "We couldn't save your answers. They're still in the form. Please try again in a minute."

# The limits of uploads that are being read or wait for a decoder: per concurrent decode, and per account. Each upload
# takes a thread of a web process, and more uploads would leave too few threads for the pages.
_UPLOADS_PER_DECODE, _UPLOADS_PER_ACCOUNT = 4, 2
# Longer than an upload takes to wait, decode and store. The lease of a killed process expires after it.
_LEASE_SECONDS = 150
_POSTGRESQL_DISK_FULL = "53100"


# Exempt, because an anonymous POST is redirected to sign-in unread. The CSRF check would answer 403 instead.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Show the upload form and receive uploads. Nothing is stored unless every photo can be read."""
    if isinstance(request.user, User):
        return _new(request)
    if request.method != "POST":
        return redirect_to_login(request.get_full_path())
    # The session ended after the form was opened. With `unsent`, sign-in page and form say that nothing was stored.
    return redirect_to_login(f"{request.path}?unsent=1")


@csrf_protect
def _new(request: HttpRequest) -> HttpResponse:
    owner = current_user(request)
    if request.method != "POST":
        return _page(owner, request, NewShootForm(initial={"submission": uuid4()}), _self_description_form())
    form, about = NewShootForm(request.POST, request.FILES, owner=owner), _self_description_form(request)
    try:
        # A form that is sent twice leads to the shoot it created, even if that was the last free one.
        result = form.earlier_shoot(owner) or _receive(request, owner, form, about)
    except AccountClosed:
        return redirect("pages:home")
    if isinstance(result, Shoot):
        return redirect(result)
    if result.sentence:
        form.refuse(result.sentence)
    response = _page(owner, request, form, about, status=result.status)
    if result.retry_after is not None:
        response["Retry-After"] = str(result.retry_after)
    return response


def _receive(
    request: HttpRequest, owner: User, form: NewShootForm, about: SelfDescriptionForm | None
) -> Shoot | UploadRefusal:
    """Open the shoot of an upload, or return the reason for refusing the upload. Raises AccountClosed."""
    if is_paused(Pause.Part.UPLOADS):
        return _PAUSED
    if not previews_left(owner):
        return _NO_PREVIEWS_LEFT
    if not _count_attempts(request, min(len(request.FILES.getlist("photos")), settings.HEADSHOTS_MAX_PHOTOS)):
        return _TOO_MANY
    total = _UPLOADS_PER_DECODE * settings.HEADSHOTS_LIMITS.max_concurrent_decodes
    uploads = Budget("uploads", total=total, per_holder=_UPLOADS_PER_ACCOUNT, lease_seconds=_LEASE_SECONDS)
    refusal = _INVALID
    try:
        with uploads.hold(holder=str(owner.pk)):
            about_is_valid = about is None or about.is_valid()
            if form.is_valid() and about_is_valid:
                form_values = {name: form.cleaned_data[name] for name in ("photos", "submission", "ask_first")}
                return open_shoot(
                    owner=owner,
                    self_description=about.self_description if about else NO_SELF_DESCRIPTION,
                    **form_values,
                )
    except BudgetExceeded as busy:
        refusal = replace(_BUSY, retry_after=busy.retry_after_seconds)
    except NoPreviewsLeft:
        return _NO_PREVIEWS_LEFT
    except (VaultError, OSError, OperationalError) as error:
        log.error("an upload could not be stored: %s", type(error).__name__)
        return _NO_SPACE if _is_out_of_space(error) else _NOT_STORED
    _count_decoding(request, form)
    return refusal


def _is_out_of_space(error: Exception) -> bool:
    """Return True if a disk or the database has no space left, False for other faults."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    cause = error.__cause__
    is_sqlite_full = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return is_sqlite_full or getattr(cause, "sqlstate", None) == _POSTGRESQL_DISK_FULL


def _count_attempts(request: HttpRequest, count: int) -> bool:
    """Count this many upload attempts for the account and the address. Returns False beyond the limit."""
    # Without Redis, attempts are not limited. Concurrent decodes are still limited (headshots.web.budgets).
    with suppress(redis.RedisError):
        return all(ratelimit.consume(request, action="upload") for _ in range(count))
    return True


def _count_decoding(request: HttpRequest, form: NewShootForm) -> None:
    """Count one more attempt per second of decoding for an upload that was not accepted.

    Accepted photos count as well. Otherwise uploads without consent could keep the decoders busy for free."""
    _count_attempts(request, int(form.decoder_seconds))


def _self_description_form(request: HttpRequest | None = None) -> SelfDescriptionForm | None:
    """Return the self-description form, or None if the engine does not draw new pictures."""
    return SelfDescriptionForm(request.POST if request else None) if engine.uses_generative_engine() else None


def _page(
    owner: User,
    request: HttpRequest,
    form: NewShootForm,
    about: SelfDescriptionForm | None,
    *,
    status: int = 200,
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
    return render(request, "shoots/new.html", context, status=status)


def _consent_changes(owner: User) -> Changes | None:
    """Return the changes of the consent text since the customer's last consent, or None without changes."""
    last = Consent.objects.filter(shoot__owner=owner).order_by("-given_at").first()
    return changes_since("consent", last.consent_version) if last else None


@require_POST
def choose_faces(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """Receive the answers to "which one is you?" for one or several photos.

    Each answer is a field `face-<photo id>` with the index of a face, or `none`."""
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
    """Show and correct the customer's self-description while the shoot is open."""
    shoot = shoot_or_404(request, shoot_id)
    if not (shoot.is_open and engine.uses_generative_engine()):
        raise Http404
    if request.method == "POST":
        return _correct(request, shoot)
    try:
        said = read_self_description(shoot=shoot)
    except KeyGone:
        # The photos and the answers were deleted at this moment. The page of the shoot says so.
        return redirect(shoot)
    except (BlobCorrupt, BlobMissing) as error:
        log.error("shoot %s: the self-description is lost: %s", shoot.pk, error)
        messages.error(request, "We can't read your earlier answers anymore. Please choose them again.")
        said = NO_SELF_DESCRIPTION
    except (VaultError, OSError) as error:
        log.error("shoot %s: the self-description cannot be read now: %s", shoot.pk, type(error).__name__)
        return _about_page(request, shoot, None, status=503)
    return _about_page(request, shoot, SelfDescriptionForm(initial=asdict(said)))


def _correct(request: HttpRequest, shoot: Shoot) -> HttpResponse:
    """Store the submitted self-description. The form keeps answers that cannot be stored now."""
    form = SelfDescriptionForm(request.POST)
    if not form.is_valid():
        return _about_page(request, shoot, form, status=422)
    try:
        if write_self_description(shoot=shoot, self_description=form.self_description):
            messages.success(request, "Your answers are saved. Changes apply to new headshots only.")
    except KeyGone:
        # The photos and the answers were deleted at this moment. The page of the shoot says so.
        pass
    except (VaultError, OSError, OperationalError) as error:
        log.error("shoot %s: the self-description cannot be stored now: %s", shoot.pk, type(error).__name__)
        form.add_error(None, _ANSWERS_NOT_SAVED)
        return _about_page(request, shoot, form, status=503)
    return redirect(shoot)


def _about_page(
    request: HttpRequest, shoot: Shoot, form: SelfDescriptionForm | None, *, status: int = 200
) -> HttpResponse:
    """Render the self-description form. `form` None: a notice that the answers cannot be read now."""
    return no_store(render(request, "shoots/about.html", {"shoot": shoot, "about": form}, status=status))
