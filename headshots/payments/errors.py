"""What can go wrong between a person, their order and Stripe.

PaymentError
├── NotForSale       nothing is sold here, or not with this engine
├── OrderRefused     this order cannot be taken now; `code` says why
├── BadSignature     a webhook that Stripe did not sign, or not for us, or long ago
└── StripeError
    ├── StripeUnavailable       no answer, or "later": ask again
    └── StripeRefused    it said no; `code` is Stripe's
"""


class PaymentError(Exception):
    """Root of the tree."""


class NotForSale(PaymentError):
    """Nothing is sold here, or not with the engine that works here."""


class OrderRefused(PaymentError):
    """This order cannot be taken.

    `code`: photos_gone, too_late, too_few_looks, no_photo, order_changed, pack_is_live, has_open_credit or
    uploads_paused."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


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
