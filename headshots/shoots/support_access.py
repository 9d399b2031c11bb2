"""Let support see the finished headshots of a shoot for a day, never the photos."""

from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from headshots.shoots.access import shoot_or_404
from headshots.shoots.lifecycle import record
from headshots.shoots.models import Event, Headshot, Shoot

ACCESS_DURATION = timedelta(hours=24)
ALLOWED, ENDED, VIEWED = "shoot.support_allowed", "shoot.support_ended", "shoot.support_viewed"


def may_view(shoot: Shoot) -> bool:
    """Return True if support may view the headshots now."""
    is_there = not shoot.purge_everything and shoot.support_until is not None
    return is_there and shoot.support_until > timezone.now()  # type: ignore[operator]


def has_viewable_headshots(shoot: Shoot) -> bool:
    finished = Headshot.objects.filter(pack__shoot=shoot, state=Headshot.State.DONE, blob__isnull=False)
    return not shoot.purge_everything and finished.exists()


def allow(*, shoot: Shoot) -> bool:
    """Grant support access. Returns True if this call granted it; a second click does not extend it."""
    until = timezone.now() + ACCESS_DURATION
    free = Q(support_until=None) | Q(support_until__lte=timezone.now())
    with transaction.atomic():
        if not Shoot.objects.filter(free, pk=shoot.pk, purge_everything=False).update(support_until=until):
            return False
        record(ALLOWED, shoot_id=shoot.pk, actor=Event.Actor.PERSON)
    return True


def end(*, shoot: Shoot) -> bool:
    """End support access. Returns True if this call ended it."""
    with transaction.atomic():
        if not Shoot.objects.filter(pk=shoot.pk, support_until__gt=timezone.now()).update(support_until=None):
            return False
        record(ENDED, shoot_id=shoot.pk, actor=Event.Actor.PERSON)
    return True


def view_log(shoot: Shoot) -> list[Event]:
    """Return when support viewed the headshots, newest first."""
    return list(Event.objects.filter(shoot_id=shoot.pk, name=VIEWED).order_by("-at")[:20])


@require_http_methods(["GET", "HEAD", "POST"])
def manage_access(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """Show the page for support access, and grant access for 24 hours or end it."""
    shoot = shoot_or_404(request, shoot_id)
    if request.method == "POST":
        if "end" in request.POST:
            end(shoot=shoot)
            messages.success(request, "Support access has ended. Only you can see your headshots now.")
        elif has_viewable_headshots(shoot):
            allow(shoot=shoot)
            messages.success(request, "Support access is on. Our team can view your headshots for up to 24 hours.")
        return redirect("shoots:support", shoot_id)
    context = {
        "shoot": shoot,
        "may_view": may_view(shoot),
        "has_viewable_headshots": has_viewable_headshots(shoot),
        "view_log": view_log(shoot),
    }
    return render(request, "shoots/support.html", context)
