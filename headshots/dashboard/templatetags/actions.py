"""What a member of staff can do to the thing that a page is about, and what was done to it."""

from dataclasses import dataclass

from django import template
from django.contrib.auth.models import AnonymousUser
from django.urls import reverse

from headshots.accounts.models import User
from headshots.dashboard.actions import ACTIONS
from headshots.dashboard.subjects import SUBJECTS, audit_log_of
from headshots.shoots.models import Shoot

register = template.Library()
register.simple_tag(audit_log_of)


@dataclass(frozen=True)
class Offer:
    """One action that is allowed and possible now."""

    title: str
    url: str
    danger: bool


@register.simple_tag
def actions_for(thing: object, user: User | AnonymousUser) -> list[Offer]:
    """Those that this user may do and that can be done as things stand."""
    subject = SUBJECTS.get(type(thing))
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
