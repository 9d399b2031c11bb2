"""Load a shoot for its owner. For all other users, the shoot does not exist."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse

from headshots.shoots.models import Shoot


def shoot_or_404(request: HttpRequest, shoot_id: UUID) -> Shoot:
    """Return the shoot if it belongs to the signed-in user.

    Raises Http404 otherwise, as for a shoot that does not exist."""
    if request.user.is_authenticated:
        shoot = Shoot.objects.filter(pk=shoot_id, owner=request.user).first()
        if shoot is not None:
            return shoot
    raise Http404


def no_store(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store, private"
    return response
