"""Errors of orders and payments.

PaymentError
├── NotForSale               payments are off, or this engine's packs are not sold
├── OrderRefused             the order cannot be accepted now; `refusal` holds the reason
├── BadSignature             a webhook is unreadable, or its signature is wrong or old
└── StripeError
    ├── StripeUnavailable    no answer, or "try later"; repeat the request
    └── StripeRefused        refused by Stripe; `code` is Stripe's error code
"""

from django.db.models import TextChoices


class Refusal(TextChoices):
    """The reason why an order is refused. Nothing is charged, and templates hold the messages."""

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
    """The base of all errors of payments."""


class NotForSale(PaymentError):
    """Payments are off, or packs of the current engine are not sold here."""


class OrderRefused(PaymentError):
    """An order that cannot be accepted now. `refusal` holds the reason."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class BadSignature(PaymentError):
    """A webhook that is unreadable, not signed with our secret, or signed too long ago."""


class StripeError(PaymentError):
    """A request that Stripe did not confirm."""


class StripeUnavailable(StripeError):
    """Stripe did not answer, or asked to try later.

    Stripe may have carried the request out, so repeat the request with the same idempotency key."""


class StripeRefused(StripeError):
    """Stripe refused the request. `code` is Stripe's error code, such as `charge_already_refunded`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
