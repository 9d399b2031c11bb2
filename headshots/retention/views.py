from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from headshots.retention.models import Receipt
from headshots.shoots.access import shoot_or_404
from headshots.vault.rings import source_keys_are_in_memory


@require_safe
def schedule(request: HttpRequest) -> HttpResponse:
    """The public retention schedule, with the numbers that this installation enforces."""
    context = {
        "photos_life": in_words(settings.HEADSHOTS_SOURCE_TTL_SECONDS),
        "headshots_life": in_words(settings.HEADSHOTS_RESULT_DAYS * 86_400),
        "keys_in_memory": source_keys_are_in_memory(),
        "mail_files": getattr(settings, "EMAIL_FILE_PATH", None) is not None,
    }
    return render(request, "retention/schedule.html", context)


@require_safe
def receipt(request: HttpRequest, receipt_id: UUID) -> HttpResponse:
    """One receipt, for its owner. That of a deleted account has none: it is for who has the link."""
    found = get_object_or_404(Receipt, pk=receipt_id)
    if found.kind != Receipt.Kind.ACCOUNT and (found.owner is None or found.owner != request.user):
        raise Http404
    return render(request, "retention/receipt.html", {"receipt": found, "proofs": found.destructions.all()})


@require_safe
def shoot_receipts(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """The receipts of one shoot, for its owner; the only one at once."""
    receipts = list(Receipt.objects.filter(shoot_id=shoot_or_404(request, shoot_id).pk, owner=request.user.pk))
    if len(receipts) == 1:
        return redirect(receipts[0])
    return render(request, "retention/receipts.html", {"receipts": receipts})


def in_words(seconds: int) -> str:
    """A time as people say it, in the largest unit that it is a whole number of, hours up to two days: "24 hours"."""
    units = ((365 * 86_400, "year", 1), (86_400, "day", 2 * 86_400), (3600, "hour", 1), (60, "minute", 1))
    for size, unit, least in (*units, (1, "second", 0)):
        if seconds >= least and seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError("any number of seconds is a whole number of seconds")
