"""Text about the product: what is sold, the promises of the pricing pages, and the URLs to return to from Stripe."""

from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse

from headshots.payments.models import Payment
from headshots.payments.seller import seller_in_words, tax_in_words
from headshots.web.humanize import humanize_size


@dataclass(frozen=True)
class ProductCopy:
    """The texts about a product.

    Attributes:
        size: size of the headshots, such as "4K".
        submit_message: the line under Stripe's button."""

    name: str
    size: str
    description: str
    submit_message: str


def get_product_copy(*, engine_name: str) -> ProductCopy:
    """Return the texts about a pack of this engine, for our pages and for the checkout."""
    count, edge = settings.HEADSHOTS_PREMIUM_COUNT, settings.HEADSHOTS_PREMIUM_LONG_EDGE
    size = humanize_size(edge)
    if engine_name == "studio":
        description = (
            f"{count} headshots, {edge:,} px on the long edge, made from your own photo with new backgrounds, lighting "
            "and framing. Your clothes, pose and expression stay the same."
        )
    else:
        description = f"{count} new headshots, {edge:,} px on the long edge, in the looks you choose."
    return ProductCopy(
        name=f"{count} headshots at {size}",
        size=size,
        description=description,
        submit_message=("If we can't deliver your headshots, you get a refund. We delete your photos within 24 hours."),
    )


@dataclass(frozen=True)
class CheckoutUrls:
    """The URLs that a checkout returns to.

    root: URL of this site, without a trailing slash."""

    root: str

    def success_url(self, payment: Payment) -> str:
        """Return the URL of the payment's page."""
        return self.root + reverse("payments:payment", args=[payment.pk]) + "?returned"

    def cancel_url(self, payment: Payment) -> str:
        """Return the URL of the page where the checkout was opened."""
        if payment.pack is None:
            return self.root + reverse("payments:pricing")
        return self.root + reverse("payments:order", args=[payment.pack.shoot_id])


def policy_context() -> dict[str, object]:
    """Return what pages state: the numbers that settings enforce, the seller, and the words about tax."""
    return {
        "count": settings.HEADSHOTS_PREMIUM_COUNT,
        "preview_count": settings.HEADSHOTS_PREVIEW_COUNT,
        "long_edge": f"{settings.HEADSHOTS_PREMIUM_LONG_EDGE:,}",
        "refund_days": settings.HEADSHOTS_REFUND_DAYS,
        "redo_days": settings.HEADSHOTS_REDO_DAYS,
        "headshot_retention_days": settings.HEADSHOTS_HEADSHOT_RETENTION_DAYS,
        "seller": seller_in_words(),
        "tax": tax_in_words(),
    }
