"""System checks of the policy pages: the operator's name and address must be set."""

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Tags, register


@register(Tags.security)
def check_operator_contact(**_: object) -> list[CheckMessage]:
    """Warn if the public pages cannot name the operator or an address for complaints.

    Reports nothing in development."""
    if settings.DEBUG:
        return []
    hint = "/privacy/, /terms/ and /abuse/ show it. Without it, these pages say that it is missing."
    return [
        checks.Warning(f"{name} is not set.", hint=hint, id="pages.W001")
        for name in ("HEADSHOTS_OPERATOR", "HEADSHOTS_ABUSE_EMAIL")
        if not getattr(settings, name)
    ]
