"""Template tags: the actions that a member of staff may perform on a page's target, and its audit log."""

from collections.abc import Iterator
from dataclasses import dataclass

from django import template
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q
from django.urls import reverse
from django.utils.http import urlencode

from headshots.accounts.models import User
from headshots.dashboard.actions.registry import ACTIONS
from headshots.dashboard.actions.targets import TARGET_TYPES, audit_log_url, target_label
from headshots.payments.models import Credit, Payment
from headshots.shoots.models import Pack, Shoot

register = template.Library()
register.simple_tag(audit_log_url)


@dataclass(frozen=True)
class ActionLink:
    """A link to an action or to a related page."""

    title: str
    url: str
    danger: bool


@register.simple_tag
def actions_for(target: object, user: User | AnonymousUser) -> list[ActionLink]:
    """Return links to related pages, and to the actions that the user may perform on the target now."""
    target_type = TARGET_TYPES.get(type(target))
    target_id = str(getattr(target, "pk", target))
    return [*_related_links(target, user)] + [
        ActionLink(action.title, reverse("admin:action", args=[action.code, target_id]), action.danger)
        for action in ACTIONS.values()
        if action.target_type == target_type and user.has_perm(action.permission) and not action.blocked_reason(target)
    ]


def _related_links(target: object, user: User | AnonymousUser) -> Iterator[ActionLink]:
    """Yield links to the pages that belong to the target, if the user may see them."""
    shoot_id = target.pk if isinstance(target, Shoot) else getattr(target, "shoot_id", None)
    if shoot_id and user.has_perm("dashboard.view_timeline"):
        yield ActionLink("Timeline", reverse("admin:support_timeline", args=[shoot_id]), danger=False)
    if isinstance(target, Shoot | Pack) and user.has_perm("payments.view_payment"):
        for payment in _payments_of(target):
            page = reverse("admin:payments_payment_change", args=[payment.pk])
            yield ActionLink(target_label(payment).capitalize(), page, danger=False)
    if isinstance(target, User):
        for title, model in (("Shoots", Shoot), ("Packs", Pack), ("Credits", Credit), ("Payments", Payment)):
            label, name = model._meta.app_label, model._meta.model_name
            if user.has_perm(f"{label}.view_{name}"):
                page = f"{reverse(f'admin:{label}_{name}_changelist')}?{urlencode({'q': target_label(target)})}"
                yield ActionLink(title, page, danger=False)


def _payments_of(target: Shoot | Pack) -> list[Payment]:
    """Return the payments for the target's packs, or for the credits used to order them.

    Leaves out expired payments."""
    packs = [target.pk] if isinstance(target, Pack) else list(target.packs.values_list("pk", flat=True))
    # Two queries can each use an index. One query with a join would read every payment.
    credited = Credit.objects.filter(pack__in=packs, payment__isnull=False).values_list("payment", flat=True)
    payments = Payment.objects.filter(Q(pack__in=packs) | Q(pk__in=list(credited)))
    return list(payments.exclude(state=Payment.State.EXPIRED).order_by("created_at"))
