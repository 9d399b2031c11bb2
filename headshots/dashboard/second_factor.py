"""Staff sign in with a second factor where the operator says so."""

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.http import HttpRequest


def lacks_second_factor(request: HttpRequest) -> bool:
    """Return True if this session did not use a second factor that its account still has.

    Always False where the operator does not ask for one."""
    if not settings.HEADSHOTS_STAFF_TWO_FACTOR:
        return False
    user = request.user if request.user.is_authenticated else None
    records = get_authentication_records(request, user)
    used = [record.get("id") for record in records if record.get("method") == "mfa"]
    # A factor that was removed since counts no more.
    return not used or not Authenticator.objects.filter(user=user, pk__in=used).exists()


def next_step(request: HttpRequest) -> str:
    """The name of the page on which it is given: by a code, or by setting a second factor up first."""
    assert request.user.is_authenticated
    has_one = Authenticator.objects.filter(user=request.user, type=Authenticator.Type.TOTP).exists()
    return "mfa_reauthenticate" if has_one else "mfa_activate_totp"
