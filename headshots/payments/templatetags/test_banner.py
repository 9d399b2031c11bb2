"""Template tag: the banner that says that payments are a test."""

from django import template

from headshots.payments.prices import payments_in_test_mode

register = template.Library()


@register.inclusion_tag("payments/_test_banner.html")
def test_banner() -> dict[str, bool]:
    """Return the TEST banner unless payments are real. Works on error pages too, which have no request."""
    return {"payments_in_test_mode": payments_in_test_mode()}
