"""One shoot as support sees it: what happened, in order, and no picture.

Finished headshots are shown only while the person's leave holds, and only to whoever has said why; see the action
`look-at-headshots`. Photos are never shown to anybody.
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
from headshots.dashboard.actions.registry import title_of
from headshots.dashboard.models import Deed
from headshots.payments.models import Credit, LedgerEntry, Payment
from headshots.payments.prices import format_money
from headshots.retention.models import Destruction, Receipt
from headshots.shoots import support_access
from headshots.shoots.models import Consent, Event, Headshot, Shoot
from headshots.vault import services as vault
from headshots.vault.errors import VaultError

LOOK = "look-at-headshots"


@dataclass(frozen=True)
class Entry:
    """One thing that happened. `about`: the pack it is about."""

    at: datetime
    what: str
    who: str
    details: Mapping[str, object] = field(default_factory=dict)
    about: UUID | None = None


@require_safe
def timeline(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """States, work, payments, mails, purges; what staff did; how it stands."""
    if not request.user.has_perm("dashboard.view_timeline"):
        raise PermissionDenied
    shoot = get_object_or_404(Shoot.objects.select_related("owner"), pk=shoot_id)
    done = Count("headshots", filter=Q(headshots__state=Headshot.State.DONE))
    given_up = Count("headshots", filter=Q(headshots__state=Headshot.State.REJECTED))
    in_work = Count("headshots", filter=Q(headshots__state=Headshot.State.RENDERING))
    context = {
        "title": "What happened",
        "subtitle": f"Shoot {shoot.pk}",
        "shoot": shoot,
        "entries": sorted(
            _entries(shoot, with_amounts=request.user.has_perm("dashboard.view_money")), key=lambda entry: entry.at
        ),
        "photos": list(shoot.photos.values("position", "state", "reasons", "checks")),
        "packs": list(shoot.packs.annotate(done=done, given_up=given_up, in_work=in_work)),
        "may_look": support_access.may_look(shoot),
        "has_said_why": _has_said_why(request.user, shoot),
        "has_permission": True,
    }
    return render(request, "dashboard/timeline.html", context)


@require_safe
def gallery(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """The finished headshots, while the person lets support look."""
    shoot = _shoot_for_lookers(request, shoot_id)
    if not support_access.may_look(shoot) or not _has_said_why(request.user, shoot):
        context = {"shoot": shoot, "may_look": support_access.may_look(shoot), "look": LOOK, "has_permission": True}
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
    """One of them, in the size of a page."""
    shoot = _shoot_for_lookers(request, shoot_id)
    if not support_access.may_look(shoot) or not _has_said_why(request.user, shoot):
        raise PermissionDenied
    rows = Headshot.objects.select_related("blob", "web_blob")
    row = get_object_or_404(rows, pk=headshot_id, pack__shoot=shoot, state=Headshot.State.DONE, blob__isnull=False)
    blob = row.web_blob or row.blob
    assert blob is not None
    try:
        return HttpResponse(vault.read_blob(blob), content_type="image/jpeg")
    except VaultError:
        raise Http404 from None


def _shoot_for_lookers(request: HttpRequest, shoot_id: UUID) -> Shoot:
    """For whoever has a role that looks at headshots. Else 403."""
    if not request.user.has_perm("dashboard.look_at_headshots"):
        raise PermissionDenied
    return get_object_or_404(Shoot, pk=shoot_id)


def _has_said_why(user: User | AnonymousUser, shoot: Shoot) -> bool:
    """Whether this member of staff has, since the person gave the leave that holds, or held last."""
    if shoot.support_until is None or user.pk is None:
        return False
    given_at = shoot.support_until - support_access.LEAVE
    return Deed.objects.filter(action=LOOK, who=user.pk, shoot_id=shoot.pk, at__gte=given_at).exists()


def _entries(shoot: Shoot, *, with_amounts: bool) -> Iterator[Entry]:
    """Each with what was true at that time: how things stand now is told elsewhere."""
    payments = {payment.pk: payment for payment in Payment.objects.filter(pack__shoot=shoot)}
    currencies = {payment.pack_id: payment.currency for payment in payments.values()}
    for consent in Consent.objects.filter(shoot=shoot):
        yield Entry(consent.given_at, "consent given", "person", {"version": consent.consent_version})
    for event in Event.objects.filter(shoot_id=shoot.pk):
        numbers = dict(event.numbers)
        amount, currency = numbers.pop("amount", None), currencies.get(event.pack_id)
        if with_amounts and amount is not None and currency:
            numbers["amount"] = format_money(amount, currency)
        yield Entry(event.at, _words(event.name), event.actor, _told({**event.codes, **numbers}), event.pack_id)
    for deed in Deed.objects.filter(shoot_id=shoot.pk):
        pack_id = UUID(deed.subject_id) if deed.subject == "pack" else None
        yield Entry(deed.at, title_of(deed.action), f"account {deed.who}", _deed(deed, with_amounts), pack_id)
    for entry in LedgerEntry.objects.filter(payment_id__in=list(payments)):
        amount = format_money(entry.amount, entry.currency) if with_amounts else ""
        details = _told({"amount": amount, "mode": entry.mode})
        yield Entry(entry.at, f"ledger: {_words(entry.kind)}", "system", details, payments[entry.payment_id].pack_id)
    packs = list(shoot.packs.values_list("pk", flat=True))
    # By its own columns, each of which has an index: through the tables behind them every credit would be read.
    ours = Q(pack__in=packs) | Q(payment__in=list(payments)) | Q(redo_of__in=packs)
    for credit in Credit.objects.filter(ours).select_related("payment"):
        details = _told({"source": credit.source, "reason": credit.reason})
        # What it came from: it may have been used for another pack since.
        about = credit.payment.pack_id if credit.payment else credit.redo_of_id
        yield Entry(credit.created_at, "credit made", "system", details, about)
    for receipt in Receipt.objects.filter(shoot_id=shoot.pk):
        yield Entry(receipt.begun_at, "deletion receipt", receipt.asked_by, {"reference": receipt.reference})
        if receipt.mailed_at:
            yield Entry(receipt.mailed_at, "mail: receipt", "system", {"reference": receipt.reference})
    for proof in Destruction.objects.filter(shoot_id=shoot.pk):
        yield Entry(proof.key_died_at, f"{proof.ring} key destroyed", "system", _told(proof.counts))


def _deed(deed: Deed, with_amounts: bool) -> dict[str, object]:
    details = {name: value for name, value in deed.details.items() if name not in ("amount", "currency")}
    if with_amounts and "amount" in deed.details:
        details["amount"] = deed.amount
    return _told({"reason": deed.reason, **details})


def _told(details: Mapping[str, object]) -> dict[str, object]:
    """Without what says nothing; several values side by side."""
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in details.items()
        if value not in ("", [], None)
    }


def _words(code: str) -> str:
    return code.replace("_", " ").replace(".", ": ").replace("-", " ")
