"""Public pages about deletion: the schedule, and one deletion certificate."""

import math
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from headshots.retention.models import DeletionCertificate
from headshots.retention.orphans import MAIL_FILE_RETENTION
from headshots.retention.wal import keeps_deleted_rows
from headshots.shoots.access import shoot_or_404
from headshots.vault.models import Blob, Ring
from headshots.vault.rings import source_keys_are_in_memory
from headshots.web.humanize import humanize_days, humanize_duration


@require_safe
def schedule(request: HttpRequest) -> HttpResponse:
    """Show the public retention schedule, with the periods that this installation enforces."""
    key_backups = settings.HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS
    context = {
        "photo_retention": humanize_duration(settings.HEADSHOTS_PHOTO_TTL_SECONDS),
        "headshot_retention": humanize_days(settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS),
        "keys_in_memory": source_keys_are_in_memory(),
        "mail_files": getattr(settings, "EMAIL_FILE_PATH", None) is not None,
        "mail_file_retention": humanize_duration(int(MAIL_FILE_RETENTION.total_seconds())),
        "session_lifetime": humanize_duration(settings.SESSION_COOKIE_AGE),
        "payments": bool(settings.HEADSHOTS_STRIPE_SECRET_KEY or settings.HEADSHOTS_TEST_CHECKOUT),
        "payment_retention": humanize_days(settings.HEADSHOTS_PAYMENT_RETENTION_DAYS),
        "record_retention": humanize_days(settings.HEADSHOTS_DELETION_RECORD_DAYS),
        "backup_retention": humanize_days(settings.HEADSHOTS_BACKUP_DAYS) if settings.HEADSHOTS_BACKUP_DAYS else "",
        "database_keeps": keeps_deleted_rows(),
        "key_backup_retention": humanize_days(key_backups) if key_backups else "",
        **_oldest_photo(),
    }
    return render(request, "retention/schedule.html", context)


@require_safe
def certificate(request: HttpRequest, certificate_id: UUID) -> HttpResponse:
    """Show one certificate to its owner. A certificate of an account is shown to anyone who has the link."""
    found = get_object_or_404(DeletionCertificate, pk=certificate_id)
    if found.kind != DeletionCertificate.Kind.ACCOUNT and (found.owner is None or found.owner != request.user):
        raise Http404
    context = {
        "certificate": found,
        "destructions": found.key_destructions.all(),
        "database_keeps": keeps_deleted_rows(),
    }
    return render(request, "retention/certificate.html", context)


@require_safe
def shoot_certificates(request: HttpRequest, shoot_id: UUID) -> HttpResponse:
    """List the certificates of one shoot for its owner. Redirects to the certificate if there is only one."""
    certificates = list(
        DeletionCertificate.objects.filter(shoot_id=shoot_or_404(request, shoot_id).pk, owner=request.user.pk)
    )
    if len(certificates) == 1:
        return redirect(certificates[0])
    return render(request, "retention/certificates.html", {"certificates": certificates})


def _oldest_photo() -> dict[str, object]:
    """Return the age of the oldest photo blob, for the template.

    oldest: the age in words, rounded up to minutes or hours; empty if there are no photos.
    late: True if the photo is older than allowed."""
    oldest = Blob.objects.filter(ring=Ring.SOURCE).order_by("created_at").values_list("created_at", flat=True).first()
    if oldest is None:
        return {"oldest": "", "late": False}
    seconds = (timezone.now() - oldest).total_seconds()
    minutes = math.ceil(seconds / 60)
    words = humanize_duration(60 * minutes if minutes < 60 else 3600 * math.ceil(minutes / 60))
    return {"oldest": words, "late": seconds > settings.HEADSHOTS_PHOTO_TTL_SECONDS}
