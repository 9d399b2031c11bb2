"""Errors between a customer, their order and Stripe.

PaymentError
├── NotForSale       nothing is sold here, or not with this engine
├── OrderRefused     this order cannot be taken now; `refusal` says why
├── BadSignature     a webhook that Stripe did not sign, or not for us, or long ago
└── StripeError
    ├── StripeUnavailable       no answer, or "later": ask again
    └── StripeRefused    it said no; `code` is Stripe's
"""

from django.db.models import TextChoices


class Refusal(TextChoices):
    """Why an order is not taken. Nothing is charged in any of these cases; templates hold the words."""

    PHOTOS_GONE = "photos_gone"
    TOO_LATE = "too_late"
    TOO_FEW_LOOKS = "too_few_looks"
    NO_PHOTO = "no_photo"
    ORDER_CHANGED = "order_changed"
    PACK_IS_LIVE = "pack_is_live"
    HAS_OPEN_CREDIT = "has_open_credit"
    UPLOADS_PAUSED = "uploads_paused"
    NOT_FOR_SALE = "not_for_sale"
    STRIPE_UNAVAILABLE = "stripe_unavailable"


class PaymentError(Exception):
    """Root of the tree."""


class NotForSale(PaymentError):
    """Nothing is sold here, or not with the engine that works here."""


class OrderRefused(PaymentError):
    """This order cannot be taken; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class BadSignature(PaymentError):
    """Not signed by Stripe with our secret, or too long ago."""


class StripeError(PaymentError):
    """Stripe did not do what was asked."""


class StripeUnavailable(StripeError):
    """No answer, or one that asks for patience. Whether it was done is not known: ask again with the same key."""


class StripeRefused(StripeError):
    """Stripe said no. `code` is its own, such as `charge_already_refunded`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
