"""Load the targets of staff actions, name them for the audit log, and show their facts to permitted staff."""

from dataclasses import dataclass
from datetime import datetime
from functools import singledispatch
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Model
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import urlencode

from headshots.accounts.models import User
from headshots.dashboard.models import AbuseReport
from headshots.payments.accounting.credits import count_open_credits
from headshots.payments.accounting.refunds import refundable_amount
from headshots.payments.models import Credit, Payment
from headshots.payments.prices import format_money
from headshots.retention.models import DeletionCertificate
from headshots.shoots.looks.versions import differences
from headshots.shoots.models import Headshot, Pack, Pause, Shoot, Style, StyleVersion

Viewer = User | AnonymousUser
# The name of each kind of target in the audit log.
TARGET_TYPES: dict[type, str] = {
    Pack: "pack",
    Shoot: "shoot",
    User: "account",
    Payment: "payment",
    Credit: "credit",
    DeletionCertificate: "certificate",
    StyleVersion: "look",
    Pause.Part: "part",
    AbuseReport: "report",
}
# The admin page of each kind of target, by its name in the audit log.
TARGET_URL_NAMES = {
    "pack": "admin:shoots_pack_change",
    "shoot": "admin:support_timeline",
    "account": "admin:accounts_user_change",
    "payment": "admin:payments_payment_change",
    "credit": "admin:payments_credit_change",
    "certificate": "admin:retention_deletioncertificate_change",
    "style": "admin:shoots_style_change",
    "report": "admin:dashboard_abusereport_change",
}


def audit_log_url(target: Model) -> str:
    """Return the URL of the audit log, filtered to this target. Returns "" for models without an audit log."""
    if isinstance(target, Shoot):
        chosen = {"shoot_id": str(target.pk)}
    elif isinstance(target, Style):
        # The names of a look's versions begin with the name of the look, so this includes their entries.
        chosen = {"target_name__startswith": target_label(target)}
    elif target_type := TARGET_TYPES.get(type(target)):
        chosen = {"target_type": target_type, "target_id": str(target.pk)}
    else:
        return ""
    return f"{reverse('admin:dashboard_auditlogentry_changelist')}?{urlencode(chosen)}"


@dataclass(frozen=True)
class Fact:
    """A fact about a target, shown before the decision. url: a page with more, if the viewer may see that page."""

    label: str
    value: str
    url: str = ""


def account_label(account_id: int, viewer: Viewer) -> str:
    """Return the name of an account: its email address and number if the viewer may see accounts.

    Returns the number alone for other viewers and for deleted accounts."""
    if viewer.has_perm("accounts.view_user"):
        address = User.objects.filter(pk=account_id).values_list("email", flat=True).first()
        return f"{address} (account {account_id})" if address else f"account {account_id} (deleted)"
    return f"account {account_id}"


@singledispatch
def target_label(target: object) -> str:
    """Return the name of a target for the audit log. Contains no email address and no text written by a customer."""
    raise TypeError(type(target))


@singledispatch
def target_facts(target: object, viewer: Viewer) -> list[Fact]:
    """Return the facts that identify a target and describe its current state."""
    raise TypeError(type(target))


@target_label.register
def _(target: Pack) -> str:
    return f"{target.kind} pack {_short_id(target.pk)}"


@target_facts.register
def _(target: Pack, viewer: Viewer) -> list[Fact]:
    rows = list(target.headshots.select_related("style", "version").order_by("style__position"))
    done = sum(row.state == Headshot.State.DONE for row in rows)
    return [
        Fact("Pack", str(target.pk), _url("shoots.view_pack", "pack", target.pk, viewer)),
        Fact("Status", _humanize(target.state) + (f" ({_humanize(target.reason)})" if target.reason else "")),
        Fact("Looks", ", ".join(dict.fromkeys(row.look.title for row in rows)) or "none left"),
        Fact("Pictures", f"{done} of {target.total} done"),
        *_shoot(target.shoot_id, viewer),
        _account(target.shoot.owner_id, viewer),
    ]


@target_label.register
def _(target: Shoot) -> str:
    return f"shoot {_short_id(target.pk)}"


@target_facts.register
def _(target: Shoot, viewer: Viewer) -> list[Fact]:
    packs = [f"{pack.kind}, {_humanize(pack.state)}" for pack in target.packs.all()]
    finished = Headshot.objects.filter(pack__shoot=target, state=Headshot.State.DONE, blob__isnull=False).count()
    photos = (
        "deleted" if target.purged_at else f"{target.photos.count()}, deleted by {_format_time(target.delete_after)}"
    )
    return [
        *_shoot(target.pk, viewer),
        Fact("Created", _format_time(target.created_at)),
        Fact("Photos", photos),
        Fact("Packs", "; ".join(packs) or "none"),
        Fact("Finished headshots", str(finished)),
        _account(target.owner_id, viewer),
    ]


@target_label.register
def _(target: User) -> str:
    return f"account {target.pk}"


@target_facts.register
def _(target: User, viewer: Viewer) -> list[Fact]:
    return [
        _account(target.pk, viewer),
        Fact("Joined", _format_time(target.date_joined)),
        Fact("Can sign in", "yes" if target.is_active else "no, blocked"),
        Fact("Open credits", str(count_open_credits(target))),
    ]


@target_label.register
def _(target: Payment) -> str:
    return f"payment {_short_id(target.pk)}"


@target_facts.register
def _(target: Payment, viewer: Viewer) -> list[Fact]:
    mode = "" if target.mode == Payment.Mode.LIVE else ", test money"
    amounts = [
        Fact("Paid", f"{format_money(target.amount_paid, target.currency)}{mode}"),
        Fact("Refundable", format_money(refundable_amount(target), target.currency)),
    ]
    return [
        Fact("Payment", str(target.pk), _url("payments.view_payment", "payment", target.pk, viewer)),
        *(amounts if viewer.has_perm("dashboard.view_money") else []),
        Fact("Paid on", _format_time(target.paid_at)),
        Fact("For", f"{target_label(target.pack)}, {_humanize(target.pack.state)}" if target.pack else "no pack yet"),
        _account(target.owner_id, viewer),
    ]


@target_label.register
def _(target: Credit) -> str:
    return f"credit {_short_id(target.pk)}"


@target_facts.register
def _(target: Credit, viewer: Viewer) -> list[Fact]:
    return [
        Fact("Credit", str(target.pk), _url("payments.view_credit", "credit", target.pk, viewer)),
        Fact("Source", f"{target.source}, {_format_time(target.created_at)}"),
        Fact("Status", _humanize(target.state)),
        _account(target.owner_id, viewer),
    ]


@target_label.register
def _(target: DeletionCertificate) -> str:
    return f"certificate {target.reference}"


@target_facts.register
def _(target: DeletionCertificate, viewer: Viewer) -> list[Fact]:
    return [
        Fact(
            "Deletion certificate",
            target.reference,
            _url("retention.view_deletioncertificate", "certificate", target.pk, viewer),
        ),
        Fact("Deleted", f"{target.kind}, {_format_time(target.begun_at)}"),
        Fact("Emailed", _format_time(target.mailed_at)),
        _account(target.owner_id, viewer),
    ]


@target_label.register
def _(target: AbuseReport) -> str:
    return f"report {target.number}"


@target_facts.register
def _(target: AbuseReport, viewer: Viewer) -> list[Fact]:
    return [
        Fact("Report", target.number, _url("dashboard.view_abusereport", "report", target.pk, viewer)),
        Fact("About", target.get_about_display()),
        Fact("Received", _format_time(target.received_at)),
        Fact("Closed", _format_time(target.closed_at)),
    ]


@target_label.register
def _(target: StyleVersion) -> str:
    return f"look {target.style.name}, version {target.number}"


@target_facts.register
def _(target: StyleVersion, viewer: Viewer) -> list[Fact]:
    style, now = target.style, target.style.current
    differ = differences(now, target) if now else {}
    changed = [
        f"{name.replace('_', ' ')}: {_truncate(before)} → {_truncate(after)}"
        for name, (before, after) in differ.items()
    ]
    return [
        Fact("Look", f"{style.title} ({style.name})", _url("shoots.view_style", "style", style.pk, viewer)),
        Fact("Version", f"{target.number}, “{target.title}”"),
        Fact("Current version", str(now.number) if now else "none, this look is new"),
        Fact("What changes", "; ".join(changed) or ("nothing" if now else "this look is added")),
    ]


@target_label.register
def _(target: Style) -> str:
    return f"look {target.name}"


@target_label.register
def _(target: Pause.Part) -> str:
    return str(target.label).lower()


@target_facts.register
def _(target: Pause.Part, viewer: Viewer) -> list[Fact]:
    since = Pause.objects.filter(part=target).values_list("since", flat=True).first()
    return [
        Fact("Part", str(target.label)),
        Fact("Status", f"paused since {_format_time(since)}" if since else "running"),
        *([_waiting_packs()] if target == Pause.Part.RENDERING else []),
    ]


def _waiting_packs() -> Fact:
    waiting = Pack.objects.filter(state=Pack.State.QUEUED).count()
    return Fact("Waiting", "1 pack" if waiting == 1 else f"{waiting} packs")


def _shoot(shoot_id: UUID, viewer: Viewer) -> list[Fact]:
    return [Fact("Shoot", str(shoot_id), _url("dashboard.view_timeline", "shoot", shoot_id, viewer))]


def _account(account_id: int | None, viewer: Viewer) -> Fact:
    if account_id is None:
        return Fact("Account", "none or deleted")
    return Fact("Account", account_label(account_id, viewer), _url("accounts.view_user", "account", account_id, viewer))


def _url(permission: str, target_type: str, pk: object, viewer: Viewer) -> str:
    return reverse(TARGET_URL_NAMES[target_type], args=[pk]) if viewer.has_perm(permission) else ""


def _short_id(pk: UUID) -> str:
    return str(pk)[:8]


def _humanize(code: str) -> str:
    return code.replace("_", " ")


def _truncate(value: object) -> str:
    text = str(value or "none")
    return text if len(text) <= 60 else f"{text[:60]}…"


def _format_time(at: datetime | None) -> str:
    return f"{at:%b %-d, %Y, %H:%M} UTC" if at else "not yet"


def load_pack(pack_id: str) -> Pack:
    return get_object_or_404(Pack.objects.select_related("shoot__owner"), pk=_uuid(pack_id))


def load_shoot(shoot_id: str) -> Shoot:
    return get_object_or_404(Shoot.objects.select_related("owner"), pk=_uuid(shoot_id))


def load_account(account_id: str) -> User:
    if not account_id.isdecimal():
        raise Http404
    return get_object_or_404(User, pk=int(account_id))


def load_payment(payment_id: str) -> Payment:
    return get_object_or_404(Payment.objects.select_related("pack"), pk=_uuid(payment_id))


def load_credit(credit_id: str) -> Credit:
    return get_object_or_404(Credit.objects.select_related("owner", "payment"), pk=_uuid(credit_id))


def load_certificate(certificate_id: str) -> DeletionCertificate:
    return get_object_or_404(DeletionCertificate.objects.select_related("owner"), pk=_uuid(certificate_id))


def load_version(version_id: str) -> StyleVersion:
    if not version_id.isdecimal():
        raise Http404
    return get_object_or_404(StyleVersion.objects.select_related("style"), pk=int(version_id))


def load_report(report_id: str) -> AbuseReport:
    if not report_id.isdecimal():
        raise Http404
    return get_object_or_404(AbuseReport, pk=int(report_id))


def load_part(what: str) -> Pause.Part:
    try:
        return Pause.Part(what)
    except ValueError:
        raise Http404 from None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None
