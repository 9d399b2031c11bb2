"""The page of an account: what there is about a person, and what they may ask of us."""

from uuid import UUID

from allauth.core import ratelimit
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.db import IntegrityError
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from headshots.accounts.current_user import current_user
from headshots.data_rights import services
from headshots.data_rights.forms import DeleteAccountForm
from headshots.retention.models import Receipt
from headshots.shoots.access import shoot_or_404
from headshots.shoots.models import Shoot
from headshots.shoots.packs.orders import packs_to_show, running_pack
from headshots.web.humanize import humanize_days

# All that the browser keeps of this site; "cookies" ends the session in its other tabs, too.
EVERYTHING = '"cache", "cookies", "storage"'


@login_required
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """One page with everything: address, shoots with their consents, receipts, and the three rights."""
    owner = current_user(request)
    packs = Prefetch("packs", packs_to_show())
    shoots = list(Shoot.objects.filter(owner=owner).select_related("consent").prefetch_related(packs))
    context = {
        "shoots": shoots,
        "standing": sum(shoot.consent.withdrawn_at is None for shoot in shoots if not _is_gone(shoot)),
        "receipts": owner.receipts.prefetch_related("destructions"),
    }
    return render(request, "rights/account.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def withdraw(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """Take back the consent to one shoot, after one question."""
    shoot = shoot_or_404(request, shoot_id)
    if request.method != "POST":
        running = running_pack(Shoot.objects.filter(pk=shoot.pk))
        return render(request, "rights/withdraw.html", {"shoot": shoot, "running": running})
    services.withdraw_consent(shoot=shoot)
    return _withdrawn(request)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def withdraw_all(request: HttpRequest) -> HttpResponse:
    """Take back every consent, after one question."""
    if request.method != "POST":
        running = running_pack(Shoot.objects.filter(owner=current_user(request)))
        return render(request, "rights/withdraw.html", {"running": running})
    services.withdraw_all(owner=current_user(request))
    return _withdrawn(request)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest) -> HttpResponse:
    """Delete the account, after its password."""
    # Sent twice, the second finds nobody signed in any more: it is shown what the first one did.
    if request.method == "POST" and (earlier := _earlier_receipt(request)):
        return _gone(earlier)
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    owner = current_user(request)
    if owner.is_staff:
        return render(request, "rights/delete_staff.html", status=403)
    sent = request.method == "POST"
    if sent and not ratelimit.consume(request, action="reauthenticate", user=owner):
        return render(request, "429.html", status=429)
    form = DeleteAccountForm(request.POST if sent else None, owner)
    if not sent or not form.is_valid():
        context = {
            "form": form,
            "shoots": Shoot.objects.filter(owner=owner, purge_everything=False).count(),
            "running": running_pack(Shoot.objects.filter(owner=owner)),
            "payment_life": humanize_days(settings.HEADSHOTS_PAYMENT_RETENTION_DAYS),
            "proof_life": humanize_days(settings.HEADSHOTS_DELETION_RECORD_DAYS),
        }
        return render(request, "rights/delete.html", context, status=422 if sent else 200)
    try:
        receipt = services.begin_leaving(owner=owner, receipt_id=form.cleaned_data["receipt"])
    except IntegrityError:
        # The id of a receipt that is not this person's: a fresh form has a fresh one.
        return redirect("rights:delete")
    logout(request)
    if receipt is None:
        return redirect("pages:home")
    services.finish_leaving(owner=owner)
    return _gone(receipt)


def _is_gone(shoot: Shoot) -> bool:
    return shoot.state == Shoot.State.PURGED and shoot.purge_everything


def _withdrawn(request: HttpRequest) -> HttpResponse:
    messages.success(
        request, "Your consent is withdrawn. The keys of the pictures are destroyed; the receipt is below."
    )
    response = HttpResponseRedirect(reverse("rights:account"))
    response["Clear-Site-Data"] = '"cache"'
    return response


def _earlier_receipt(request: HttpRequest) -> Receipt | None:
    try:
        receipt_id = UUID(request.POST.get("receipt", ""))
    except ValueError:
        return None
    return Receipt.objects.filter(pk=receipt_id, kind=Receipt.Kind.ACCOUNT).first()


def _gone(receipt: Receipt) -> HttpResponse:
    response = HttpResponseRedirect(receipt.get_absolute_url())
    response["Clear-Site-Data"] = EVERYTHING
    return response
