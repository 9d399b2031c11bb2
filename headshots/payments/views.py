"""Pages about money: pricing, receipts, refunds, redos, the webhook, and the test checkout without a Stripe key."""

import logging
from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from headshots import engine
from headshots.accounts.current_user import current_user
from headshots.accounts.models import User
from headshots.payments.accounting.credits import can_redo, find_pack_to_redo, open_credits, request_redo
from headshots.payments.accounting.incomplete import build_offer
from headshots.payments.accounting.receipts import build_receipts
from headshots.payments.accounting.refunds import refund_credit, refundable_amount
from headshots.payments.accounting.webhooks import receive_webhook
from headshots.payments.checkout.deadlines import find_shoot_to_use
from headshots.payments.checkout.orders import buy_credit, sync_with_stripe
from headshots.payments.checkout.views import to_checkout
from headshots.payments.errors import BadSignature, NotForSale, OrderRefused, Refusal, StripeError
from headshots.payments.models import Credit, Payment, Refund
from headshots.payments.prices import current_mode, format_money, get_price, is_for_sale
from headshots.payments.product_copy import get_product_copy, policy_context
from headshots.payments.stripe.local import find_session, pay_session
from headshots.shoots.models import Event, Pack
from headshots.shoots.packs.orders import answer_incomplete

log = logging.getLogger(__name__)
# The page of a payment is reloaded while a customer waits, and must not ask Stripe each time.
_POLL_INTERVAL = timedelta(seconds=3)
_MAX_PAYMENTS = 200
_REFUSAL_MESSAGES = {
    Refusal.HAS_OPEN_CREDIT: "You already have an unused pack. You weren’t charged.",
    Refusal.UPLOADS_PAUSED: "Uploads are paused for maintenance. You weren’t charged. Please try again later.",
}
STRIPE_UNAVAILABLE_MESSAGE = (
    "We can't reach the payment page right now. You weren’t charged. Please try again in a minute."
)


@require_http_methods(["GET", "HEAD", "POST"])
def pricing(request: HttpRequest) -> HttpResponse:
    """Show what a pack costs and contains, and sell a credit to a customer who is signed in."""
    status = 503 if request.method == "POST" else 200
    if request.method == "POST" and request.user.is_authenticated:
        try:
            return to_checkout(request, buy_credit(owner=request.user))
        except OrderRefused as refused:
            # The page was shown before the credit was opened, or before uploads were paused.
            messages.error(request, _REFUSAL_MESSAGES[refused.refusal])
            status = 409
        except NotForSale:
            messages.error(request, "Packs aren't for sale right now.")
        except StripeError:
            messages.error(request, STRIPE_UNAVAILABLE_MESSAGE)
    name = engine.engine_name()
    context = {
        "is_for_sale": is_for_sale(),
        "price": get_price(name),
        "product": get_product_copy(engine_name=name),
        "engine": name,
        "test_checkout": current_mode() == Payment.Mode.LOCAL,
        "redo_pack": find_pack_to_redo(request.user) if request.user.is_authenticated else None,
        **(_open_credits_context(request.user) if request.user.is_authenticated else {}),
        **policy_context(),
    }
    return render(request, "payments/pricing.html", context, status=status)


@login_required
@require_safe
def payment(request: HttpRequest, payment_id: UUID) -> HttpResponse:
    """Show the receipt of a payment.

    Stripe returns customers to this page with `?returned`. Before the webhook has arrived, asks Stripe for the state,
    at most once per `_POLL_INTERVAL`."""
    owner = current_user(request)
    found = get_object_or_404(Payment.objects.select_related("pack"), pk=payment_id, owner=owner)
    returned_from_checkout = "returned" in request.GET
    if found.state in Payment.UNPAID and (
        found.last_stripe_call_at is None or found.last_stripe_call_at < timezone.now() - _POLL_INTERVAL
    ):
        try:
            sync_with_stripe(payment=found)
        except StripeError as error:
            # The webhook brings the state as well, and the page is reloaded.
            log.warning("payment %s: its state could not be fetched from Stripe: %s", found.pk, type(error).__name__)
    (receipt,) = build_receipts(Payment.objects.filter(pk=found.pk))
    credit = receipt.credit
    if returned_from_checkout and credit is not None and credit.pack is not None:
        messages.success(request, f"Thank you. You paid {receipt.amount}, and your pack is ordered.")
        return redirect("shoots:detail", credit.pack.shoot_id)
    context = {
        "payment": found,
        "receipt": receipt,
        "credit": credit,
        "can_redo": receipt.pack is not None and can_redo(receipt.pack),
        "returned_from_checkout": returned_from_checkout,
        "product": get_product_copy(engine_name=found.engine),
        "shoot_to_use": find_shoot_to_use(owner) if credit and credit.state == Credit.State.OPEN else None,
        **policy_context(),
    }
    return render(request, "payments/payment.html", context)


@login_required
@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """Show the payments of an account, except expired and failed ones, and its open credits."""
    owner = current_user(request)
    paid = Payment.objects.filter(owner=owner).exclude(state__in=[Payment.State.EXPIRED, Payment.State.FAILED])
    context = {
        "receipts": build_receipts(paid[:_MAX_PAYMENTS]),
        **_open_credits_context(owner),
        **policy_context(),
    }
    return render(request, "payments/history.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def refund(request: HttpRequest, credit_id: UUID) -> HttpResponse:
    """Refund an open credit, after a confirmation page."""
    credit = get_object_or_404(Credit.objects.select_related("payment"), pk=credit_id, owner=request.user)
    if request.method == "POST":
        if refund_credit(credit=credit, reason=Refund.Reason.PERSON, actor=Event.Actor.PERSON):
            messages.success(request, "We're refunding your payment. It can take 5 to 10 days to appear.")
        else:
            messages.error(request, "There's nothing left to refund. This pack was already used or refunded.")
        return redirect("payments:history")
    left = refundable_amount(credit.payment) if credit.payment and credit.state == Credit.State.OPEN else 0
    money = format_money(left, credit.payment.currency) if credit.payment and left else ""
    return render(request, "payments/refund.html", {"credit": credit, "money": money})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def redo(request: HttpRequest, pack_id: UUID) -> HttpResponse:
    """Request the free redo of a delivered pack, after a confirmation page."""
    pack = get_object_or_404(Pack, pk=pack_id, shoot__owner=request.user, kind=Pack.Kind.PREMIUM)
    if request.method == "POST":
        if request_redo(pack=pack) is None:
            messages.error(request, "This pack has no free redo left.")
            return redirect("payments:history")
        if pack.shoot.is_open:
            return redirect("payments:order", pack.shoot_id)
        return redirect("shoots:new")
    return render(request, "payments/redo.html", {"pack": pack, "can_redo": can_redo(pack), **policy_context()})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def answer(request: HttpRequest, pack_id: UUID) -> HttpResponse:
    """Ask whether the customer keeps an incomplete pack or cancels it, and take the answer."""
    owned = Pack.objects.select_related("shoot").filter(shoot__owner=current_user(request), kind=Pack.Kind.PREMIUM)
    pack = get_object_or_404(owned, pk=pack_id)
    choice = request.POST.get("answer")
    if choice in {"keep", "cancel"}:
        offer = build_offer(pack)
        if not answer_incomplete(pack=pack, keep=choice == "keep"):
            messages.error(request, "This pack doesn’t need an answer anymore. Its status is below.")
        elif choice == "keep":
            promise = f" We’re refunding {offer.money} for the missing ones." if offer.money else ""
            messages.success(request, f"You’re keeping your {pack.available} headshots.{promise}")
        else:
            messages.success(request, "The pack is canceled and back in your account.")
        return redirect("shoots:detail", pack.shoot_id)
    if pack.state != Pack.State.AWAITING_ANSWER:
        return redirect("shoots:detail", pack.shoot_id)
    return render(request, "payments/answer.html", {"offer": build_offer(pack), "pack": pack})


@csrf_exempt
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """Receive a webhook from Stripe.

    Answers 400 if the signature is wrong."""
    try:
        receive_webhook(payload=request.body, signature=request.headers.get("Stripe-Signature", ""))
    except BadSignature:
        log.warning("refused a webhook with an invalid signature")
        return HttpResponse("Invalid signature.", status=400, content_type="text/plain")
    return HttpResponse(status=200)


def _open_credits_context(owner: User) -> dict[str, object]:
    waiting = list(open_credits(owner).select_related("payment"))
    return {"open_credits": waiting, "shoot_to_use": find_shoot_to_use(owner) if waiting else None}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def test_checkout(request: HttpRequest, session_id: str) -> HttpResponse:
    """Show the test checkout, and take a test card that pays or is declined.

    Answers 404 if packs are not sold in the local test checkout."""
    mine = Payment.objects.filter(session_id=session_id, owner=current_user(request), mode=Payment.Mode.LOCAL)
    if current_mode() != Payment.Mode.LOCAL or not mine.exists():
        raise Http404
    session = pay_session(session_id) if request.POST.get("card") == "good" else find_session(session_id)
    if session is None:
        raise Http404
    if session["status"] == "complete":
        return HttpResponseRedirect(session["success_url"], status=303 if request.method == "POST" else 302)
    context = {
        "session": session,
        "price": format_money(session["amount_total"], session["currency"]),
        "declined": request.POST.get("card") == "bad",
    }
    return render(request, "payments/test_checkout.html", context)
