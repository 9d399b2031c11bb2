"""Typed access to the signed-in account of a request."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from headshots.accounts.models import User


def current_user(request: HttpRequest) -> User:
    """Return the account that a request is signed in to.

    For views behind `login_required` and in the admin. Raises PermissionDenied for an anonymous visitor, so that a view
    without its decorator serves no page."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user
