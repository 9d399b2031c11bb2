"""Pages of the withdrawal function: find the contract, confirm, and read what follows. No sign-in is needed."""

from uuid import UUID

from allauth.core import ratelimit
from django import forms
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from headshots.accounts.current_user import current_user
from headshots.celery import send_on_commit
from headshots.payments.accounting.receipts import build_receipts
from headshots.payments.models import Payment
from headshots.payments.product_copy import get_product_copy, policy_context
from headshots.payments.withdrawal.links import MAX_AGE, read_token
from headshots.payments.withdrawal.services import find_contract, withdraw, withdrawal_deadline

_MAX_CONTRACTS = 50


class ContractForm(forms.Form):
    """The form in which a customer names their order."""

    order_number = forms.UUIDField(
        label="Order number", error_messages={"invalid": "Copy the order number from the email about your order."}
    )
    email = forms.EmailField(label="Email", max_length=254)


@require_http_methods(["GET", "HEAD", "POST"])
def withdrawals(request: HttpRequest) -> HttpResponse:
    """Let a customer choose the contract to withdraw from, or name it by order number and email.

    The answer is the same whether the order exists or not. The link goes to the email address of the account."""
    form = ContractForm(request.POST or None)
    if request.method == "POST":
        if not ratelimit.consume(request, action="withdraw"):
            return render(request, "429.html", status=429)
        if form.is_valid():
            found = find_contract(order_number=str(form.cleaned_data["order_number"]), email=form.cleaned_data["email"])
            if found is not None:
                send_on_commit("payments.mail_withdrawal_link", str(found.pk), timezone.now().isoformat())
            return render(request, "payments/withdrawal_sent.html", {"days": MAX_AGE.days})
    mine = Payment.objects.none()
    if request.user.is_authenticated:
        mine = Payment.objects.filter(owner=request.user, paid_at__isnull=False)
    context = {"form": form, "receipts": build_receipts(mine[:_MAX_CONTRACTS]), **policy_context()}
    return render(request, "payments/withdrawals.html", context, status=422 if form.errors else 200)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def withdrawal(request: HttpRequest, payment_id: UUID) -> HttpResponse:
    """Withdraw from a contract of the signed-in customer, after a confirmation."""
    owned = Payment.objects.filter(owner=current_user(request), paid_at__isnull=False)
    payment = get_object_or_404(owned, pk=payment_id)
    return _confirm(request, payment, withdraw(payment=payment) if request.method == "POST" else None)


@require_http_methods(["GET", "HEAD", "POST"])
def confirm_withdrawal(request: HttpRequest, token: str) -> HttpResponse:
    """Withdraw from the contract of a link in an email, after a confirmation."""
    read = read_token(token)
    payment = Payment.objects.filter(pk=read[0], paid_at__isnull=False).first() if read else None
    if read is None or payment is None:
        raise Http404
    return _confirm(request, payment, withdraw(payment=payment, at=read[1]) if request.method == "POST" else None)


def _confirm(request: HttpRequest, payment: Payment, made: object) -> HttpResponse:
    (receipt,) = build_receipts(Payment.objects.filter(pk=payment.pk))
    context = {
        "receipt": receipt,
        "withdrawal": made or getattr(payment, "withdrawal", None),
        "deadline": withdrawal_deadline(payment),
        "product": get_product_copy(engine_name=payment.engine),
        **policy_context(),
    }
    return render(request, "payments/withdrawal.html", context)
