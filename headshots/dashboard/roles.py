"""Staff roles (owner, support, finance), restored after every migration, and two-factor authentication of staff.

Changes to these three groups do not last. An operator who wants other roles creates groups with other names.
"""

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet
from django.http import HttpRequest

OWNER, SUPPORT, FINANCE = "owner", "support", "finance"
# Permissions of this app, by role. Owners have all permissions of all apps.
_DASHBOARD_PERMISSIONS = {
    SUPPORT: (
        "view_stats",
        "view_timeline",
        "view_gallery",
        "manage_packs",
        "block_account",
        "close_report",
        "purge_now",
        "resend_mail",
    ),
    FINANCE: ("view_stats", "view_money"),
}
# Models whose rows each role may view.
_VIEWABLE_MODELS = {
    SUPPORT: (
        "dashboard.abusereport",
        "shoots.shoot",
        "shoots.pack",
        "shoots.headshot",
        "shoots.photo",
        "shoots.event",
        "accounts.user",
        "payments.payment",
        "payments.credit",
        "payments.withdrawal",
        "retention.deletioncertificate",
    ),
    FINANCE: (
        "payments.payment",
        "payments.credit",
        "payments.refund",
        "payments.withdrawal",
        "payments.ledgerentry",
    ),
}
# Models to which each role may add rows, through a staff action.
_ADDABLE_MODELS = {SUPPORT: ("payments.credit",), FINANCE: ("payments.refund",)}


def ensure_roles(**_signal: object) -> None:
    """Create the groups of the three roles and set their permissions. Safe to repeat."""
    for config in apps.get_app_configs():
        # Create the permissions of all apps here: some apps send `post_migrate` only after this one.
        create_permissions(config, verbosity=0)
    for role in (OWNER, SUPPORT, FINANCE):
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set(_permissions(role))


def _permissions(role: str) -> QuerySet[Permission]:
    if role == OWNER:
        return Permission.objects.all()
    wanted = Q(content_type__app_label="dashboard", codename__in=_DASHBOARD_PERMISSIONS[role])
    for verb, models in (("view", _VIEWABLE_MODELS[role]), ("add", _ADDABLE_MODELS[role])):
        for model in models:
            label, name = model.split(".")
            wanted |= Q(content_type__app_label=label, codename=f"{verb}_{name}")
    return Permission.objects.filter(wanted)


def lacks_second_factor(request: HttpRequest) -> bool:
    """Return True if this session did not use a second factor that its account still has.

    Always returns False if HEADSHOTS_STAFF_TWO_FACTOR is off."""
    if not settings.HEADSHOTS_STAFF_TWO_FACTOR:
        return False
    user = request.user if request.user.is_authenticated else None
    records = get_authentication_records(request, user)
    used = [record.get("id") for record in records if record.get("method") == "mfa"]
    # A factor that was removed after the sign-in does not count.
    return not used or not Authenticator.objects.filter(user=user, pk__in=used).exists()


def second_factor_url_name(request: HttpRequest) -> str:
    """Return the name of the URL where the account gives its second factor, or sets one up first."""
    assert request.user.is_authenticated
    has_one = Authenticator.objects.filter(user=request.user, type=Authenticator.Type.TOTP).exists()
    return "mfa_reauthenticate" if has_one else "mfa_activate_totp"
