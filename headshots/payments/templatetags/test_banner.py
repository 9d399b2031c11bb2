"""Template tag: the banner that says that payments are a test."""

from django import template

from headshots.payments.prices import payments_in_test_mode

register = template.Library()


@register.inclusion_tag("payments/_test_banner.html")
def test_banner() -> dict[str, bool]:
    """Says TEST while no real money can be paid, on error pages too, which know nothing of the request."""
    return {"payments_in_test_mode": payments_in_test_mode()}
