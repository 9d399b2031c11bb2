"""Pages of a shoot: list, page, progress, status.json, cancel a pack, delete."""

import logging
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from headshots import engine
from headshots.accounts.current_user import current_user
from headshots.shoots import support_access
from headshots.shoots.access import no_store, shoot_or_404
from headshots.shoots.delivery.disclosure import disclosure_of
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.models import Event, Headshot, Pack, Pause, Photo, Shoot
from headshots.shoots.packs.estimates import Estimate, estimate
from headshots.shoots.packs.gating import sort_for_display
from headshots.shoots.packs.orders import cancel_pack, running_pack, visible_packs
from headshots.shoots.packs.prepared_subjects import best_first
from headshots.shoots.pauses import is_paused
from headshots.shoots.uploads import identity
from headshots.web.humanize import humanize_duration

log = logging.getLogger(__name__)


@login_required
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """List the customer's shoots, newest first."""
    shoots = Shoot.objects.filter(owner=current_user(request)).prefetch_related(Prefetch("packs", visible_packs()))
    return render(request, "shoots/list.html", {"shoots": shoots[:100]})


@require_safe
def detail(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """Show the page of one shoot."""
    return no_store(render(request, "shoots/detail.html", _context(shoot_or_404(request, shoot_id))))


@require_safe
def progress(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """Render the changing part of the page. The page fetches this view again."""
    return no_store(render(request, "shoots/_progress.html", _context(shoot_or_404(request, shoot_id))))


@require_safe
def status(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """Return the state of a shoot as JSON for programs, with the codes of the data model."""
    shoot = shoot_or_404(request, shoot_id)
    body = {
        "status": shoot.state,
        "delete_after": shoot.delete_after.isoformat(),
        "photos": [{"id": photo.pk, "status": photo.state, "reasons": photo.reasons} for photo in shoot.photos.all()],
        "packs": [
            {
                "id": pack.pk,
                "kind": pack.kind,
                "status": pack.state,
                "done": _count_done(pack),
                "total": pack.total,
                "seconds_left": _seconds_left(pack),
            }
            for pack in _packs(shoot)
        ],
    }
    return no_store(JsonResponse(body))


@require_safe
def headshot_page(request: HttpRequest, shoot_id: UUID, headshot_id: UUID) -> HttpResponse:
    """Show one finished headshot with its downloads, between the one before and the next one of its pack."""
    shoot = shoot_or_404(request, shoot_id)
    found = get_object_or_404(Headshot.objects.select_related("pack"), pk=headshot_id, pack__shoot=shoot)
    pack = next((pack for pack in _packs(shoot) if pack.pk == found.pack_id), None)
    rows = [] if pack is None else sort_for_display(pack, list(pack.headshots.all()))
    done = [row for row in rows if row.state == Headshot.State.DONE and row.blob_id]
    place = next((place for place, row in enumerate(done) if row.pk == found.pk), None)
    if pack is None or place is None or shoot.purge_everything or pack.ended_as in Pack.UNDONE:
        raise Http404
    context = {
        "shoot": shoot,
        "pack": _pack_context(pack),
        "headshot": _headshot_context(pack, done[place]),
        "place": place + 1,
        "count": len(done),
        "before": done[place - 1] if place else None,
        "next": done[place + 1] if place + 1 < len(done) else None,
    }
    return no_store(render(request, "shoots/headshot.html", context))


@require_POST
def favorite(request: HttpRequest, shoot_id: UUID, headshot_id: UUID) -> HttpResponse:
    """Mark a finished headshot as a favorite, or not. `favorite`: 1 or 0. Answers 204 to a script."""
    shoot = shoot_or_404(request, shoot_id)
    mine = Headshot.objects.filter(pk=headshot_id, pack__shoot=shoot, state=Headshot.State.DONE)
    if not mine.update(is_favorite=request.POST.get("favorite") == "1"):
        raise Http404
    if "script" in request.POST:
        return HttpResponse(status=204)
    return redirect("shoots:headshot_page", shoot_id, headshot_id)


@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, shoot_id: UUID, pack_id: UUID) -> HttpResponse:
    """Cancel a premium pack without finished headshots, after a confirmation page."""
    shoot = shoot_or_404(request, shoot_id)
    pack = get_object_or_404(Pack, pk=pack_id, shoot=shoot, kind=Pack.Kind.PREMIUM)
    if request.method != "POST":
        return render(request, "shoots/cancel.html", {"shoot": shoot, "pack": pack})
    if not cancel_pack(pack=pack):
        messages.error(request, "This pack can't be stopped anymore. Its status is below.")
    return redirect("shoots:detail", shoot_id)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """Delete photos and headshots immediately, after a confirmation page."""
    shoot = shoot_or_404(request, shoot_id)
    if request.method != "POST":
        running = running_pack(Shoot.objects.filter(pk=shoot.pk))
        return render(request, "shoots/delete.html", {"shoot": shoot, "running": running})
    begin_purge(shoot, actor=Event.Actor.PERSON, everything=True)
    response = HttpResponseRedirect(shoot.get_absolute_url())
    # Delete the pictures in the browser's cache as well.
    response["Clear-Site-Data"] = '"cache"'
    return response


def _packs(shoot: Shoot) -> list[Pack]:
    return list(visible_packs().filter(shoot=shoot).prefetch_related("headshots__style", "headshots__version"))


def _count_done(pack: Pack) -> int:
    return sum(row.state == Headshot.State.DONE for row in pack.headshots.all())


def _seconds_left(pack: Pack) -> int | None:
    found = estimate(pack, list(pack.headshots.all()))
    return None if found is None else round(found.seconds_left)


def _context(shoot: Shoot) -> dict[str, object]:
    photos = list(shoot.photos.prefetch_related("face_crops"))
    packs = _packs(shoot)
    live = _is_changing(shoot, photos, packs)
    used = best_first(photos)[:1] if packs else []
    premium = [pack for pack in packs if pack.kind == Pack.Kind.PREMIUM]
    # Number the premium packs if there are several, so that the customer can distinguish them.
    numbers = {pack.pk: number for number, pack in enumerate(premium, 1)} if len(premium) > 1 else {}
    shown = [_photo_context(photo, for_preview=photo in used) for photo in photos]
    return {
        "shoot": shoot,
        "photos": shown,
        "asking": [photo for photo in shown if photo["state"] == Photo.State.CHOOSE_FACE],
        "packs": [_pack_context(pack) | {"order": numbers.get(pack.pk)} for pack in packs],
        "live": live,
        "may_order": _may_order(shoot, packs),
        "rendering_paused": live and is_paused(Pause.Part.RENDERING),
        "support_may_view": support_access.may_view(shoot),
        "support_could_view": not shoot.purge_everything and any(_count_done(pack) for pack in packs),
        "is_generative": engine.uses_generative_engine(),
        "Reason": Pack.Reason,
    }


def _photo_context(photo: Photo, *, for_preview: bool) -> dict[str, object]:
    is_theirs = engine.Reason.NOT_SAME_PERSON.value not in photo.reasons
    is_advised = photo.state in Photo.DECIDED and is_theirs
    return {
        "id": photo.pk,
        "state": photo.state,
        "reasons": photo.reasons,
        "face_count": photo.face_count,
        "face_crops": photo.face_crops,
        "proposed_face": photo.proposed_face,
        "score": photo.score if is_advised else None,
        "tips": engine.additional_tips(photo.tips, photo.reasons) if is_advised else [],
        "for_preview": for_preview,
    }


def _pack_context(pack: Pack) -> dict[str, object]:
    rows = list(pack.headshots.all())
    return {
        "id": pack.pk,
        "kind": pack.kind,
        "state": pack.state,
        "awaiting_retry": pack.awaiting_retry,
        "reason": pack.reason,
        "ended_as": pack.ended_as,
        "expires_at": pack.expires_at,
        "done": _count_done(pack),
        "total": pack.total,
        "available": pack.available,
        "missing": pack.missing,
        "width": pack.width,
        "height": pack.height,
        "size": pack.size,
        "disclosure": disclosure_of(pack.engine),
        "estimate": _estimate_context(estimate(pack, rows)),
        "replaced": sum(row.replaced for row in rows),
        "favorite_count": sum(row.is_favorite and row.blob_id is not None for row in rows),
        "look_count": len({row.look.title for row in rows if row.state == Headshot.State.DONE}),
        "headshots": [_headshot_context(pack, row) for row in sort_for_display(pack, rows)],
    }


def _headshot_context(pack: Pack, row: Headshot) -> dict[str, object]:
    here = [pack.shoot_id, row.pk]
    full = reverse("shoots:headshot", args=here)
    web = reverse("shoots:headshot_version", args=[*here, "web"]) if row.web_blob_id else full
    thumbnail = reverse("shoots:headshot_version", args=[*here, "thumbnail"]) if row.thumbnail_blob_id else web
    return {
        "id": row.pk,
        "number": row.index + 1,
        "state": row.state,
        "style_title": row.look.title,
        # The likeness only matters where the engine draws new pictures of the face.
        "likeness_percent": round(100 * row.likeness) if row.likeness and engine.is_generative(pack.engine) else None,
        "url": full,
        "is_favorite": row.is_favorite,
        "favorite_url": reverse("shoots:favorite", args=here),
        "page_url": reverse("shoots:headshot_page", args=here),
        # One picture is shown in the web version, because a full file at 4K has 4 MB. Many are shown as thumbnails.
        "shown_url": web,
        "thumbnail_url": thumbnail,
        "web_url": web if row.web_blob_id else "",
        "profile_url": reverse("shoots:headshot_version", args=[*here, "profile"]) if row.profile_blob_id else "",
    }


def _estimate_context(found: Estimate | None) -> dict[str, object] | None:
    """Return an estimate for the template.

    The time left is rounded to minutes, below 100 seconds to tens of seconds."""
    if found is None:
        return None
    seconds = found.seconds_left
    rounded = 60 * round(seconds / 60) if seconds >= 100 else max(10, 10 * round(seconds / 10))
    return {
        # 100% would say that the pack is done.
        "percent": min(99, round(100 * found.share)),
        "is_preparing": found.preparing is not None,
        "ahead": found.ahead,
        "time_left": humanize_duration(rounded),
    }


def _may_order(shoot: Shoot, packs: list[Pack]) -> bool:
    """Return True if a pack can be ordered: the preview is delivered, and no premium pack is live."""
    seen = any(pack.kind == Pack.Kind.PREVIEW and pack.state == Pack.State.DELIVERED for pack in packs)
    return shoot.is_open and seen and not any(pack.kind == Pack.Kind.PREMIUM and pack.is_live for pack in packs)


def _is_changing(shoot: Shoot, photos: list[Photo], packs: list[Pack]) -> bool:
    """Return True while the page has to be fetched again, because it will change without the customer's action."""
    if not shoot.is_open:
        return shoot.state == Shoot.State.PURGING
    changing = (pack for pack in packs if pack.is_live and pack.state != Pack.State.AWAITING_ANSWER)
    if any(changing) or identity.are_being_compared(shoot=shoot, photos=photos):
        return True
    # The preview is ordered as soon as every photo has its verdict.
    is_settled = all(photo.state in Photo.DECIDED for photo in photos)
    return is_settled and not packs and any(photo.state in Photo.USABLE for photo in photos)
