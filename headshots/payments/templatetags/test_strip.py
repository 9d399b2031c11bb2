from django import template

from headshots.payments.prices import payments_are_a_test

register = template.Library()


@register.inclusion_tag("payments/_test_strip.html")
def test_strip() -> dict[str, bool]:
    """Says TEST while no real money can be paid, on error pages too, which know nothing of the request."""
    return {"payments_are_a_test": payments_are_a_test()}
