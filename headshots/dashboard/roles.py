"""Owner, support, finance: groups of staff and what each may do. Set anew after every migration.

An operator who wants other roles makes groups of other names."""

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet

OWNER, SUPPORT, FINANCE = "owner", "support", "finance"

# Permissions of this room, by role; owners have all there are.
_MAY = {
    SUPPORT: (
        "view_figures",
        "view_timeline",
        "look_at_headshots",
        "run_packs",
        "block_account",
        "purge_now",
        "resend_mail",
    ),
    FINANCE: ("view_figures", "view_money"),
}
# Rows that they may look at.
_SEES = {
    SUPPORT: (
        "shoots.shoot",
        "shoots.pack",
        "shoots.headshot",
        "shoots.photo",
        "shoots.event",
        "accounts.user",
        "payments.payment",
        "payments.credit",
        "retention.receipt",
    ),
    FINANCE: ("payments.payment", "payments.credit", "payments.refund", "payments.ledgerentry"),
}
# Rows that they may make, by the action for it.
_ADDS = {SUPPORT: ("payments.credit",), FINANCE: ("payments.refund",)}


def ensure_roles(**_signal: object) -> None:
    """The three groups with their permissions; safe to repeat."""
    for config in apps.get_app_configs():
        # Of every app, also those whose turn comes after this one.
        create_permissions(config, verbosity=0)
    for role in (OWNER, SUPPORT, FINANCE):
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set(_permissions(role))


def _permissions(role: str) -> QuerySet[Permission]:
    if role == OWNER:
        return Permission.objects.all()
    wanted = Q(content_type__app_label="dashboard", codename__in=_MAY[role])
    for verb, models in (("view", _SEES[role]), ("add", _ADDS[role])):
        for model in models:
            label, name = model.split(".")
            wanted |= Q(content_type__app_label=label, codename=f"{verb}_{name}")
    return Permission.objects.filter(wanted)
