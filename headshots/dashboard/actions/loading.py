"""The things that actions are done to, by the ids in addresses. Whatever is not there is 404."""

from uuid import UUID

from django.http import Http404
from django.shortcuts import get_object_or_404

from headshots.accounts.models import User
from headshots.payments.models import Credit, Payment
from headshots.retention.models import Receipt
from headshots.shoots.models import Pack, Pause, Shoot, StyleVersion


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


def load_receipt(receipt_id: str) -> Receipt:
    return get_object_or_404(Receipt.objects.select_related("owner"), pk=_uuid(receipt_id))


def load_version(version_id: str) -> StyleVersion:
    if not version_id.isdecimal():
        raise Http404
    return get_object_or_404(StyleVersion.objects.select_related("style"), pk=int(version_id))


def load_part(what: str) -> Pause.What:
    try:
        return Pause.What(what)
    except ValueError:
        raise Http404 from None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None
