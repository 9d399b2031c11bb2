"""Template tag for the banner that shows that payments are in test mode."""

from django import template

from headshots.payments.prices import payments_in_test_mode

register = template.Library()


@register.inclusion_tag("payments/_test_banner.html")
def test_banner() -> dict[str, bool]:
    """Show the banner while no real money can be paid. Works on error pages, which have no request context."""
    return {"payments_in_test_mode": payments_in_test_mode()}
