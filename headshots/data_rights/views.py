"""The account page: what is stored about a person, export, withdrawal, account deletion."""

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
from headshots.retention.models import DeletionCertificate
from headshots.shoots.access import shoot_or_404
from headshots.shoots.models import Shoot
from headshots.shoots.packs.orders import running_pack, visible_packs
from headshots.web.humanize import humanize_days

# Everything that the browser stores for this site. Clearing the cookies also ends the session in other tabs.
CLEAR_ALL_SITE_DATA = '"cache", "cookies", "storage"'


@login_required
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """Show the account page: address, shoots with their consents, certificates, and links to the three rights."""
    owner = current_user(request)
    packs = Prefetch("packs", visible_packs())
    shoots = list(Shoot.objects.filter(owner=owner).select_related("consent").prefetch_related(packs))
    context = {
        "shoots": shoots,
        "active_consents": sum(shoot.consent.withdrawn_at is None for shoot in shoots if not _is_fully_deleted(shoot)),
        "certificates": owner.deletion_certificates.prefetch_related("key_destructions"),
    }
    return render(request, "data_rights/account.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def withdraw(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """Withdraw the consent to one shoot, after a confirmation page."""
    shoot = shoot_or_404(request, shoot_id)
    if request.method != "POST":
        running = running_pack(Shoot.objects.filter(pk=shoot.pk))
        return render(request, "data_rights/withdraw.html", {"shoot": shoot, "running": running})
    services.withdraw_consent(shoot=shoot)
    return _redirect_after_withdrawal(request)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def withdraw_all(request: HttpRequest) -> HttpResponse:
    """Withdraw every consent, after a confirmation page."""
    if request.method != "POST":
        running = running_pack(Shoot.objects.filter(owner=current_user(request)))
        return render(request, "data_rights/withdraw.html", {"running": running})
    services.withdraw_all(owner=current_user(request))
    return _redirect_after_withdrawal(request)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest) -> HttpResponse:
    """Delete the account, after its password is confirmed."""
    # If the form is sent twice, the second request is no longer signed in. Show the certificate of the first request.
    if request.method == "POST" and (earlier := _earlier_certificate(request)):
        return _redirect_to_certificate(earlier)
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    owner = current_user(request)
    if owner.is_staff:
        return render(request, "data_rights/delete_staff.html", status=403)
    sent = request.method == "POST"
    if sent and not ratelimit.consume(request, action="reauthenticate", user=owner):
        return render(request, "429.html", status=429)
    form = DeleteAccountForm(request.POST if sent else None, owner)
    if not sent or not form.is_valid():
        context = {
            "form": form,
            "shoots": Shoot.objects.filter(owner=owner, purge_everything=False).count(),
            "running": running_pack(Shoot.objects.filter(owner=owner)),
            "payment_retention": humanize_days(settings.HEADSHOTS_PAYMENT_RETENTION_DAYS),
            "record_retention": humanize_days(settings.HEADSHOTS_DELETION_RECORD_DAYS),
        }
        return render(request, "data_rights/delete.html", context, status=422 if sent else 200)
    try:
        certificate = services.begin_account_deletion(owner=owner, certificate_id=form.cleaned_data["certificate"])
    except IntegrityError:
        # Another account's certificate has this id. A new form gets a new id.
        return redirect("data_rights:delete")
    logout(request)
    if certificate is None:
        return redirect("pages:home")
    services.finish_account_deletion(owner=owner)
    return _redirect_to_certificate(certificate)


def _is_fully_deleted(shoot: Shoot) -> bool:
    return shoot.state == Shoot.State.PURGED and shoot.purge_everything


def _redirect_after_withdrawal(request: HttpRequest) -> HttpResponse:
    messages.success(
        request,
        "You’ve withdrawn your consent, and we’ve destroyed the keys to your pictures. "
        "Your deletion certificate will appear below.",
    )
    response = HttpResponseRedirect(reverse("data_rights:account"))
    response["Clear-Site-Data"] = '"cache"'
    return response


def _earlier_certificate(request: HttpRequest) -> DeletionCertificate | None:
    try:
        certificate_id = UUID(request.POST.get("certificate", ""))
    except ValueError:
        return None
    return DeletionCertificate.objects.filter(pk=certificate_id, kind=DeletionCertificate.Kind.ACCOUNT).first()


def _redirect_to_certificate(certificate: DeletionCertificate) -> HttpResponse:
    response = HttpResponseRedirect(certificate.get_absolute_url())
    response["Clear-Site-Data"] = CLEAR_ALL_SITE_DATA
    return response
