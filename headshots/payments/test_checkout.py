"""The page that stands in for Stripe's where there is no key: says TEST, takes no money, is not there without DEBUG."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from headshots.accounts.models import User
from headshots.payments.models import Payment
from headshots.payments.prices import as_money, current_mode
from headshots.payments.stripe.local import find_session, pay


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def checkout(request: HttpRequest, session_id: str) -> HttpResponse:
    """Pay, be declined, or go back."""
    assert isinstance(request.user, User)
    mine = Payment.objects.filter(session_id=session_id, owner=request.user, mode=Payment.Mode.LOCAL)
    if current_mode() != Payment.Mode.LOCAL or not mine.exists():
        raise Http404
    session = pay(session_id) if request.POST.get("card") == "good" else find_session(session_id)
    if session is None:
        raise Http404
    if session["status"] == "complete":
        return HttpResponseRedirect(session["success_url"], status=303 if request.method == "POST" else 302)
    context = {
        "session": session,
        "price": as_money(session["amount_total"], session["currency"]),
        "declined": request.POST.get("card") == "bad",
    }
    return render(request, "payments/test_checkout.html", context)
