"""What a member of staff can do to the thing that a page is about, and what was done to it."""

from collections.abc import Iterator
from dataclasses import dataclass

from django import template
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q
from django.urls import reverse
from django.utils.http import urlencode

from headshots.accounts.models import User
from headshots.dashboard.actions.registry import ACTIONS
from headshots.dashboard.actions.targets import SUBJECTS, audit_log_of, name_of
from headshots.payments.models import Credit, Payment
from headshots.shoots.models import Pack, Shoot

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
    return [*_ways(thing, user)] + [
        Offer(action.title, reverse("admin:act", args=[action.code, thing_id]), action.danger)
        for action in ACTIONS.values()
        if action.subject == subject and user.has_perm(action.permission) and not action.why_not(thing)
    ]


def _ways(thing: object, user: User | AnonymousUser) -> Iterator[Offer]:
    """What belongs to it, for those who may see that."""
    shoot_id = thing.pk if isinstance(thing, Shoot) else getattr(thing, "shoot_id", None)
    if shoot_id and user.has_perm("dashboard.view_timeline"):
        yield Offer("What happened", reverse("admin:support_timeline", args=[shoot_id]), danger=False)
    if isinstance(thing, Shoot | Pack) and user.has_perm("payments.view_payment"):
        for payment in _payments_of(thing):
            page = reverse("admin:payments_payment_change", args=[payment.pk])
            yield Offer(name_of(payment).capitalize(), page, danger=False)
    if isinstance(thing, User):
        for title, model in (("Shoots", Shoot), ("Packs", Pack), ("Credits", Credit), ("Payments", Payment)):
            label, name = model._meta.app_label, model._meta.model_name
            if user.has_perm(f"{label}.view_{name}"):
                page = f"{reverse(f'admin:{label}_{name}_changelist')}?{urlencode({'q': name_of(thing)})}"
                yield Offer(title, page, danger=False)


def _payments_of(thing: Shoot | Pack) -> list[Payment]:
    """What was paid for it: for its packs, or earlier for the credits that they were ordered with."""
    packs = [thing.pk] if isinstance(thing, Pack) else list(thing.packs.values_list("pk", flat=True))
    # Each by its own index: all in one question would read every payment.
    credited = Credit.objects.filter(pack__in=packs, payment__isnull=False).values_list("payment", flat=True)
    payments = Payment.objects.filter(Q(pack__in=packs) | Q(pk__in=list(credited)))
    return list(payments.exclude(state=Payment.State.EXPIRED).order_by("created_at"))
