"""The seller: what customers must know about it before they order."""

from django.conf import settings


def missing_seller_settings() -> list[str]:
    """Return the settings that must not be empty when packs are sold for money, and are."""
    details = {
        "HEADSHOTS_OPERATOR": settings.HEADSHOTS_OPERATOR,
        "HEADSHOTS_OPERATOR_ADDRESS": settings.HEADSHOTS_OPERATOR_DETAILS.address,
        "HEADSHOTS_SUPPORT_EMAIL": settings.HEADSHOTS_SUPPORT_EMAIL,
    }
    return [name for name, value in details.items() if not value]


def seller_in_words() -> str:
    """Return name, address and country of the seller on one line. Empty if none is set."""
    details = settings.HEADSHOTS_OPERATOR_DETAILS
    return ", ".join(filter(None, [settings.HEADSHOTS_OPERATOR, details.address, details.country]))


def tax_in_words() -> str:
    """Return what to say about tax next to a price."""
    if settings.HEADSHOTS_OPERATOR_DETAILS.tax_note:
        return settings.HEADSHOTS_OPERATOR_DETAILS.tax_note
    return "tax, if any, is shown on the next page" if settings.HEADSHOTS_AUTOMATIC_TAX else "nothing is added"
