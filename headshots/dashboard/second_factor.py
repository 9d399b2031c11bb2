"""Staff sign in with a second factor where the operator says so."""

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.http import HttpRequest


def lacks_second_factor(request: HttpRequest) -> bool:
    """Whether this session still owes one. Never where the operator does not ask for it."""
    if not settings.HEADSHOTS_STAFF_TWO_FACTOR:
        return False
    user = request.user if request.user.is_authenticated else None
    return not any(record.get("method") == "mfa" for record in get_authentication_records(request, user))


def next_step(request: HttpRequest) -> str:
    """The name of the page on which it is given: by a code, or by setting a second factor up first."""
    assert request.user.is_authenticated
    has_one = Authenticator.objects.filter(user=request.user, type=Authenticator.Type.TOTP).exists()
    return "mfa_reauthenticate" if has_one else "mfa_activate_totp"
