"""What staff actions are applied to: load it, name it for the audit log, show its facts to those who may see them."""

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
from headshots.payments.accounting.credits import count_open_credits
from headshots.payments.accounting.refunds import refundable
from headshots.payments.models import Credit, Payment
from headshots.payments.prices import as_money
from headshots.retention.models import DeletionCertificate
from headshots.shoots.looks.versions import differences
from headshots.shoots.models import Headshot, Pack, Pause, Shoot, Style, StyleVersion

Viewer = User | AnonymousUser
# What the audit log calls each.
SUBJECTS: dict[type, str] = {
    Pack: "pack",
    Shoot: "shoot",
    User: "account",
    Payment: "payment",
    Credit: "credit",
    DeletionCertificate: "certificate",
    StyleVersion: "look",
    Pause.Part: "part",
}
# The page of each, by what the audit log calls it.
PAGES = {
    "pack": "admin:shoots_pack_change",
    "shoot": "admin:support_timeline",
    "account": "admin:accounts_user_change",
    "payment": "admin:payments_payment_change",
    "credit": "admin:payments_credit_change",
    "certificate": "admin:retention_deletioncertificate_change",
    "style": "admin:shoots_style_change",
}


def audit_log_of(thing: Model) -> str:
    """Where it is told what was done to it; empty where nothing can be."""
    if isinstance(thing, Shoot):
        chosen = {"shoot_id": str(thing.pk)}
    elif isinstance(thing, Style):
        # Edits of the look itself and what was done to its versions.
        chosen = {"about__startswith": name_of(thing)}
    elif subject := SUBJECTS.get(type(thing)):
        chosen = {"subject": subject, "subject_id": str(thing.pk)}
    else:
        return ""
    return f"{reverse('admin:dashboard_deed_changelist')}?{urlencode(chosen)}"


@dataclass(frozen=True)
class Fact:
    """One thing to know before deciding. `page`: where there is more, if this viewer may go there."""

    label: str
    words: str
    page: str = ""


def who(account_id: int, viewer: Viewer) -> str:
    """An account by its address where the viewer may see accounts, by its number elsewhere and once it has gone."""
    if viewer.has_perm("accounts.view_user"):
        address = User.objects.filter(pk=account_id).values_list("email", flat=True).first()
        return f"{address} (account {account_id})" if address else f"account {account_id}, which is gone"
    return f"account {account_id}"


@singledispatch
def name_of(thing: object) -> str:
    """What the audit log calls it: no address, nothing that a person wrote."""
    raise TypeError(type(thing))


@singledispatch
def facts_of(thing: object, viewer: Viewer) -> list[Fact]:
    """Which one it is and how it stands."""
    raise TypeError(type(thing))


@name_of.register
def _(thing: Pack) -> str:
    return f"{thing.kind} pack {_short(thing.pk)}"


@facts_of.register
def _(thing: Pack, viewer: Viewer) -> list[Fact]:
    rows = list(thing.headshots.select_related("style", "version").order_by("style__position"))
    done = sum(row.state == Headshot.State.DONE for row in rows)
    return [
        Fact("Pack", str(thing.pk), _page("shoots.view_pack", "pack", thing.pk, viewer)),
        Fact("Stands at", _code(thing.state) + (f" ({_code(thing.reason)})" if thing.reason else "")),
        Fact("Looks", ", ".join(dict.fromkeys(row.look.title for row in rows)) or "none any more"),
        Fact("Pictures", f"{done} of {thing.total} done"),
        *_shoot(thing.shoot_id, viewer),
        _account(thing.shoot.owner_id, viewer),
    ]


@name_of.register
def _(thing: Shoot) -> str:
    return f"shoot {_short(thing.pk)}"


@facts_of.register
def _(thing: Shoot, viewer: Viewer) -> list[Fact]:
    packs = [f"{pack.kind}, {_code(pack.state)}" for pack in thing.packs.all()]
    finished = Headshot.objects.filter(pack__shoot=thing, state=Headshot.State.DONE, blob__isnull=False).count()
    photos = "gone" if thing.purged_at else f"{thing.photos.count()}, which go by {_time(thing.delete_after)}"
    return [
        *_shoot(thing.pk, viewer),
        Fact("Opened", _time(thing.created_at)),
        Fact("Photos", photos),
        Fact("Packs", "; ".join(packs) or "none"),
        Fact("Finished headshots", str(finished)),
        _account(thing.owner_id, viewer),
    ]


@name_of.register
def _(thing: User) -> str:
    return f"account {thing.pk}"


@facts_of.register
def _(thing: User, viewer: Viewer) -> list[Fact]:
    return [
        _account(thing.pk, viewer),
        Fact("Joined", _time(thing.date_joined)),
        Fact("May sign in", "yes" if thing.is_active else "no, blocked"),
        Fact("Packs that it may order", str(count_open_credits(thing))),
    ]


@name_of.register
def _(thing: Payment) -> str:
    return f"payment {_short(thing.pk)}"


@facts_of.register
def _(thing: Payment, viewer: Viewer) -> list[Fact]:
    mode = "" if thing.mode == Payment.Mode.LIVE else ", test money"
    amounts = [
        Fact("Paid", f"{as_money(thing.amount_paid, thing.currency)}{mode}"),
        Fact("Can be given back", as_money(refundable(thing), thing.currency)),
    ]
    return [
        Fact("Payment", str(thing.pk), _page("payments.view_payment", "payment", thing.pk, viewer)),
        *(amounts if viewer.has_perm("dashboard.view_money") else []),
        Fact("When", _time(thing.paid_at)),
        Fact("For", f"{name_of(thing.pack)}, {_code(thing.pack.state)}" if thing.pack else "no pack yet"),
        _account(thing.owner_id, viewer),
    ]


@name_of.register
def _(thing: Credit) -> str:
    return f"credit {_short(thing.pk)}"


@facts_of.register
def _(thing: Credit, viewer: Viewer) -> list[Fact]:
    return [
        Fact("Credit", str(thing.pk), _page("payments.view_credit", "credit", thing.pk, viewer)),
        Fact("From", f"{thing.source}, {_time(thing.created_at)}"),
        Fact("Stands at", _code(thing.state)),
        _account(thing.owner_id, viewer),
    ]


@name_of.register
def _(thing: DeletionCertificate) -> str:
    return f"certificate {thing.reference}"


@facts_of.register
def _(thing: DeletionCertificate, viewer: Viewer) -> list[Fact]:
    return [
        Fact(
            "Deletion certificate",
            thing.reference,
            _page("retention.view_deletioncertificate", "certificate", thing.pk, viewer),
        ),
        Fact("Of", f"{thing.kind}, {_time(thing.begun_at)}"),
        Fact("Mailed", _time(thing.mailed_at)),
        _account(thing.owner_id, viewer),
    ]


@name_of.register
def _(thing: StyleVersion) -> str:
    return f"look {thing.style.name}, version {thing.number}"


@facts_of.register
def _(thing: StyleVersion, viewer: Viewer) -> list[Fact]:
    style, now = thing.style, thing.style.current
    differ = differences(now, thing) if now else {}
    changed = [
        f"{name.replace('_', ' ')}: {_brief(before)} → {_brief(after)}" for name, (before, after) in differ.items()
    ]
    return [
        Fact("Look", f"{style.title} ({style.name})", _page("shoots.view_style", "style", style.pk, viewer)),
        Fact("Version", f"{thing.number}, “{thing.title}”"),
        Fact("On offer now", f"version {now.number}" if now else "nothing: it is new"),
        Fact("What changes", "; ".join(changed) or ("nothing" if now else "a look is added")),
    ]


@name_of.register
def _(thing: Style) -> str:
    return f"look {thing.name}"


@name_of.register
def _(thing: Pause.Part) -> str:
    return str(thing.label).lower()


@facts_of.register
def _(thing: Pause.Part, viewer: Viewer) -> list[Fact]:
    since = Pause.objects.filter(part=thing).values_list("since", flat=True).first()
    return [
        Fact("Part", str(thing.label)),
        Fact("Stands at", f"paused since {_time(since)}" if since else "at work"),
        *([_waiting_packs()] if thing == Pause.Part.RENDERING else []),
    ]


def _waiting_packs() -> Fact:
    waiting = Pack.objects.filter(state=Pack.State.QUEUED).count()
    return Fact("Waiting", "1 pack" if waiting == 1 else f"{waiting} packs")


def _shoot(shoot_id: UUID, viewer: Viewer) -> list[Fact]:
    return [Fact("Shoot", str(shoot_id), _page("dashboard.view_timeline", "shoot", shoot_id, viewer))]


def _account(account_id: int | None, viewer: Viewer) -> Fact:
    if account_id is None:
        return Fact("Account", "none, or gone")
    return Fact("Account", who(account_id, viewer), _page("accounts.view_user", "account", account_id, viewer))


def _page(permission: str, subject: str, pk: object, viewer: Viewer) -> str:
    return reverse(PAGES[subject], args=[pk]) if viewer.has_perm(permission) else ""


def _short(pk: UUID) -> str:
    return str(pk)[:8]


def _code(code: str) -> str:
    return code.replace("_", " ")


def _brief(value: object) -> str:
    text = str(value or "none")
    return text if len(text) <= 60 else f"{text[:60]}…"


def _time(at: datetime | None) -> str:
    return f"{at:%-d %b %Y %H:%M} UTC" if at else "not yet"


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
