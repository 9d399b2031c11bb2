"""Support pages of a shoot: its timeline, and its headshots if the customer grants support access.

Finished headshots are shown only while the customer grants support access. Staff must first give a reason in the
action `view-headshots`. Photos are never shown to staff.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from headshots.accounts.models import User
from headshots.dashboard.actions.registry import action_title
from headshots.dashboard.models import AuditLogEntry
from headshots.payments.models import Credit, LedgerEntry, Payment
from headshots.payments.prices import format_money
from headshots.retention.models import DeletionCertificate, KeyDestruction
from headshots.shoots import support_access
from headshots.shoots.models import Consent, Event, Headshot, Shoot
from headshots.vault import services as vault
from headshots.vault.errors import VaultError
from headshots.vault.models import Ring

VIEW_HEADSHOTS = "view-headshots"
_ACTORS = {Event.Actor.PERSON.value: "customer"}
_KEYS = {Ring.SOURCE.value: "photo", Ring.RESULT.value: "headshot"}


@dataclass(frozen=True)
class TimelineEntry:
    """An event in the timeline of a shoot. pack_id: the pack that the event belongs to, if any."""

    at: datetime
    what: str
    actor: str
    details: Mapping[str, object] = field(default_factory=dict)
    pack_id: UUID | None = None


@require_safe
def timeline(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """Show the timeline of a shoot, and the current state of its photos and packs.

    The timeline has state changes, payments, emails, purges and staff actions, oldest first."""
    if not request.user.has_perm("dashboard.view_timeline"):
        raise PermissionDenied
    shoot = get_object_or_404(Shoot.objects.select_related("owner"), pk=shoot_id)
    done = Count("headshots", filter=Q(headshots__state=Headshot.State.DONE))
    given_up = Count("headshots", filter=Q(headshots__state=Headshot.State.REJECTED))
    in_work = Count("headshots", filter=Q(headshots__state=Headshot.State.RENDERING))
    context = {
        "title": "Timeline",
        "subtitle": f"Shoot {shoot.pk}",
        "shoot": shoot,
        "entries": sorted(
            _entries(shoot, with_amounts=request.user.has_perm("dashboard.view_money")), key=lambda entry: entry.at
        ),
        "photos": list(shoot.photos.values("position", "state", "reasons", "checks")),
        "packs": list(shoot.packs.annotate(done=done, given_up=given_up, in_work=in_work)),
        "may_view": support_access.may_view(shoot),
        "has_given_reason": _has_given_reason(request.user, shoot),
        "has_permission": True,
    }
    return render(request, "dashboard/timeline.html", context)


@require_safe
def gallery(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """Show the finished headshots of a shoot. Answers 403 without support access or a given reason."""
    shoot = _get_shoot_for_viewer(request, shoot_id)
    if not support_access.may_view(shoot) or not _has_given_reason(request.user, shoot):
        context = {
            "shoot": shoot,
            "may_view": support_access.may_view(shoot),
            "action_code": VIEW_HEADSHOTS,
            "has_permission": True,
        }
        return render(request, "dashboard/closed_gallery.html", context, status=403)
    rows = Headshot.objects.filter(pack__shoot=shoot, state=Headshot.State.DONE, blob__isnull=False)
    context = {
        "title": "Finished headshots",
        "shoot": shoot,
        "rows": list(rows.select_related("style", "version", "pack").order_by("pack__created_at", "index")),
        "has_permission": True,
    }
    return render(request, "dashboard/gallery.html", context)


@require_safe
def picture(request: HttpRequest, shoot_id: UUID, headshot_id: UUID) -> HttpResponse:
    """Serve one finished headshot as a JPEG, in the size for web pages if there is one.

    Raises PermissionDenied without support access or a given reason."""
    shoot = _get_shoot_for_viewer(request, shoot_id)
    if not support_access.may_view(shoot) or not _has_given_reason(request.user, shoot):
        raise PermissionDenied
    rows = Headshot.objects.select_related("blob", "web_blob")
    row = get_object_or_404(rows, pk=headshot_id, pack__shoot=shoot, state=Headshot.State.DONE, blob__isnull=False)
    blob = row.web_blob or row.blob
    assert blob is not None
    try:
        return HttpResponse(vault.read_blob(blob), content_type="image/jpeg")
    except VaultError:
        raise Http404 from None


def _get_shoot_for_viewer(request: HttpRequest, shoot_id: UUID) -> Shoot:
    """Return the shoot. Raises PermissionDenied for roles that may not view headshots."""
    if not request.user.has_perm("dashboard.view_gallery"):
        raise PermissionDenied
    return get_object_or_404(Shoot, pk=shoot_id)


def _has_given_reason(user: User | AnonymousUser, shoot: Shoot) -> bool:
    """Return True if this staff member gave a reason since the customer last granted access."""
    if shoot.support_until is None or user.pk is None:
        return False
    given_at = shoot.support_until - support_access.ACCESS_DURATION
    return AuditLogEntry.objects.filter(
        action=VIEW_HEADSHOTS, staff_id=user.pk, shoot_id=shoot.pk, at__gte=given_at
    ).exists()


def _entries(shoot: Shoot, *, with_amounts: bool) -> Iterator[TimelineEntry]:
    """Yield the timeline of a shoot, unsorted. Each entry has the facts of its time, not the current state."""
    payments = {payment.pk: payment for payment in Payment.objects.filter(pack__shoot=shoot)}
    currencies = {payment.pack_id: payment.currency for payment in payments.values()}
    for consent in Consent.objects.filter(shoot=shoot):
        yield TimelineEntry(
            consent.given_at, "consent given", _ACTORS[Event.Actor.PERSON], {"version": consent.consent_version}
        )
    for event in Event.objects.filter(shoot_id=shoot.pk):
        numbers = dict(event.numbers)
        amount, currency = numbers.pop("amount", None), currencies.get(event.pack_id)
        if with_amounts and amount is not None and currency:
            numbers["amount"] = format_money(amount, currency)
        yield TimelineEntry(
            event.at,
            _humanize(event.name),
            _actor(event.actor),
            _without_empty({**event.codes, **numbers}),
            event.pack_id,
        )
    for logged in AuditLogEntry.objects.filter(shoot_id=shoot.pk):
        pack_id = UUID(logged.target_id) if logged.target_type == "pack" else None
        details = _audit_details(logged, with_amounts)
        yield TimelineEntry(logged.at, action_title(logged.action), f"account {logged.staff_id}", details, pack_id)
    for entry in LedgerEntry.objects.filter(payment_id__in=list(payments)):
        amount = format_money(entry.amount, entry.currency) if with_amounts else ""
        details = _without_empty({"amount": amount, "mode": entry.mode})
        yield TimelineEntry(
            entry.at, f"ledger: {_humanize(entry.kind)}", "system", details, payments[entry.payment_id].pack_id
        )
    packs = list(shoot.packs.values_list("pk", flat=True))
    # Filter by the credit's own columns, which have indexes. A join would read every credit.
    ours = Q(pack__in=packs) | Q(payment__in=list(payments)) | Q(redo_of__in=packs)
    for credit in Credit.objects.filter(ours).select_related("payment"):
        details = _without_empty({"source": credit.source, "reason": credit.reason})
        # The pack that the credit came from. The credit may have been used for another pack since.
        pack_id = credit.payment.pack_id if credit.payment else credit.redo_of_id
        yield TimelineEntry(credit.created_at, "credit created", "system", details, pack_id)
    for certificate in DeletionCertificate.objects.filter(shoot_id=shoot.pk):
        yield TimelineEntry(
            certificate.begun_at,
            "deletion certificate",
            _actor(certificate.requested_by),
            {"reference": certificate.reference},
        )
        if certificate.mailed_at:
            yield TimelineEntry(
                certificate.mailed_at, "email: deletion certificate", "system", {"reference": certificate.reference}
            )
    for destruction in KeyDestruction.objects.filter(shoot_id=shoot.pk):
        yield TimelineEntry(
            destruction.destroyed_at,
            f"{_KEYS[destruction.ring]} key destroyed",
            "system",
            _without_empty(destruction.counts),
        )


def _audit_details(entry: AuditLogEntry, with_amounts: bool) -> dict[str, object]:
    details = {name: value for name, value in entry.details.items() if name not in ("amount", "currency")}
    if with_amounts and "amount" in entry.details:
        details["amount"] = entry.amount
    return _without_empty({"reason": entry.reason, **details})


def _without_empty(details: Mapping[str, object]) -> dict[str, object]:
    """Return the details without empty values. Joins lists with commas."""
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in details.items()
        if value not in ("", [], None)
    }


def _actor(code: str) -> str:
    return _ACTORS.get(code, code)


def _humanize(code: str) -> str:
    return code.replace("_", " ").replace(".", ": ").replace("-", " ")
