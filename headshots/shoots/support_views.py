"""The page on which a person lets support look at their finished headshots, and takes that back."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from headshots.shoots import support
from headshots.shoots.access import shoot_or_404


@require_http_methods(["GET", "HEAD", "POST"])
def leave(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """Give it for a day, or end it."""
    shoot = shoot_or_404(request, shoot_id)
    if request.method == "POST":
        if "end" in request.POST:
            support.end(shoot=shoot)
            messages.success(request, "Nobody but you can see your headshots now.")
        elif support.has_something_to_see(shoot):
            support.allow(shoot=shoot)
            messages.success(request, "Thank you. Our support may look at your headshots for 24 hours.")
        return redirect("shoots:support", shoot_id)
    context = {
        "shoot": shoot,
        "may_look": support.may_look(shoot),
        "has_something_to_see": support.has_something_to_see(shoot),
        "looks": support.looks_so_far(shoot),
    }
    return render(request, "shoots/support.html", context)
