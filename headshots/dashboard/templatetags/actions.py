"""What a member of staff can do to the thing that a page is about."""

from dataclasses import dataclass

from django import template
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model
from django.urls import reverse
from django.utils.http import urlencode

from headshots.accounts.models import User
from headshots.dashboard.actions import ACTIONS
from headshots.dashboard.subjects import name_of
from headshots.payments.models import Credit, Payment
from headshots.retention.models import Receipt
from headshots.shoots.models import Pack, Pause, Shoot, Style, StyleVersion

register = template.Library()

_SUBJECTS = {
    Pack: "pack",
    Shoot: "shoot",
    User: "account",
    Payment: "payment",
    Credit: "credit",
    Receipt: "receipt",
    StyleVersion: "look",
    Pause.What: "part",
}


@dataclass(frozen=True)
class Offer:
    """One action that is allowed and possible now."""

    title: str
    url: str
    danger: bool


@register.simple_tag
def actions_for(thing: object, user: User | AnonymousUser) -> list[Offer]:
    """Those that this user may do and that can be done as things stand."""
    subject = _SUBJECTS.get(type(thing))
    thing_id = str(getattr(thing, "pk", thing))
    shoot_id = thing.pk if isinstance(thing, Shoot) else getattr(thing, "shoot_id", None)
    offers = []
    if shoot_id and user.has_perm("dashboard.view_timeline"):
        offers.append(Offer("What happened", reverse("admin:support_timeline", args=[shoot_id]), danger=False))
    return offers + [
        Offer(action.title, reverse("admin:act", args=[action.code, thing_id]), action.danger)
        for action in ACTIONS.values()
        if action.subject == subject and user.has_perm(action.permission) and not action.why_not(thing)
    ]


@register.simple_tag
def audit_log_of(thing: Model) -> str:
    """Where it is told what was done to it; empty where nothing can be."""
    if isinstance(thing, Shoot):
        chosen = {"shoot_id": str(thing.pk)}
    elif isinstance(thing, Style):
        # Edits of the look itself and what was done to its versions.
        chosen = {"about__startswith": name_of(thing)}
    elif subject := _SUBJECTS.get(type(thing)):
        chosen = {"subject": subject, "subject_id": str(thing.pk)}
    else:
        return ""
    return f"{reverse('admin:dashboard_deed_changelist')}?{urlencode(chosen)}"
