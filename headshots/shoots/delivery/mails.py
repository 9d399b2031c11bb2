"""Send an email when headshots are ready. The address is read from the account and stored nowhere else."""

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string

from headshots.shoots.delivery.disclosure import disclosure_of
from headshots.shoots.lifecycle import record_pack
from headshots.shoots.models import Pack


def send_delivery_mail(*, pack: Pack) -> bool:
    """Notify the customer by email that the pack is ready.

    Returns True if this call sent the email. Clears `mail_due` first, so that concurrent calls send only one."""
    due = Pack.objects.filter(pk=pack.pk, state=Pack.State.DELIVERED, mail_due=True)
    if not due.update(mail_due=False):
        return False
    owner = pack.shoot.owner
    # The customer may have deleted the shoot instead of answering the question about an incomplete pack.
    if owner is None or not owner.is_active or pack.shoot.purge_everything:
        return False
    site = settings.HEADSHOTS_SITE_URL
    context = {
        "pack": pack,
        "page": site + pack.shoot.get_absolute_url(),
        "has_site_url": bool(site),
        "disclosure": disclosure_of(pack.engine),
    }
    subject = render_to_string("shoots/mail/delivered_subject.txt", context).strip()
    try:
        send_mail(subject, render_to_string("shoots/mail/delivered.txt", context), None, [owner.email])
    except OSError:
        # Beat sends the task again.
        Pack.objects.filter(pk=pack.pk, state=Pack.State.DELIVERED).update(mail_due=True)
        raise
    record_pack(pack, "mailed")
    return True
