"""Load a shoot for its owner; for everyone else it does not exist."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse

from headshots.shoots.models import Shoot


def shoot_or_404(request: HttpRequest, shoot_id: UUID) -> Shoot:
    """The shoot, if it belongs to whoever is signed in; else 404, as for one that never was."""
    if request.user.is_authenticated:
        shoot = Shoot.objects.filter(pk=shoot_id, owner=request.user).first()
        if shoot is not None:
            return shoot
    raise Http404


def no_store(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store, private"
    return response
