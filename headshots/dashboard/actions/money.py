"""Staff actions on money: refund a payment, grant a pack."""

from decimal import Decimal

from django import forms
from django.conf import settings

from headshots import engine
from headshots.accounts.models import User
from headshots.dashboard.actions.audit_actions import Action, ActionUnavailable, Answers, ReasonForm, StaleTargetError
from headshots.dashboard.actions.targets import load_account, load_payment, load_shoot
from headshots.payments.accounting.credits import grant_credit, open_credits
from headshots.payments.accounting.refunds import refundable_amount, request_refund
from headshots.payments.checkout.orders import Order, count_orders, find_unpaid_payment, order_with_credit
from headshots.payments.errors import OrderRefused, Refusal
from headshots.payments.models import Credit, Payment, Refund
from headshots.payments.prices import format_money, minor_unit_digits, parse_price
from headshots.shoots.models import Event, Pack, Photo, Shoot, Style

# The reasons that staff can choose. The product sets all others automatically.
_REFUNDS = [
    Refund.Reason.PERSON,
    Refund.Reason.QUALITY,
    Refund.Reason.GOODWILL,
    Refund.Reason.DUPLICATE,
    Refund.Reason.FRAUDULENT,
]
_MAX_CREDITS = 5


class RefundForm(ReasonForm):
    """The form for a refund: amount and reason code."""

    amount = forms.DecimalField(
        min_value=Decimal("0.001"), max_digits=12, error_messages={"min_value": "Enter an amount greater than zero."}
    )
    code = forms.ChoiceField(label="Accounting reason", choices=[(reason.value, reason.label) for reason in _REFUNDS])


class GrantForm(ReasonForm):
    """The form for granting packs to an account: number and reason code."""

    count = forms.IntegerField(label="Packs", min_value=1, max_value=_MAX_CREDITS, initial=1)
    code = forms.ChoiceField(label="Accounting reason", choices=Credit.GrantReason.choices)


class GrantPackForm(ReasonForm):
    """The form for granting a pack of a shoot: looks and reason code."""

    styles = forms.ModelMultipleChoiceField(
        label="Looks", queryset=Style.objects.filter(active=True), widget=forms.CheckboxSelectMultiple
    )
    code = forms.ChoiceField(label="Accounting reason", choices=Credit.GrantReason.choices)

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.fields["styles"].help_text = _min_looks_message()


def _refundable_amount(payment: Payment) -> str:
    digits = minor_unit_digits(payment.currency)
    return f"{refundable_amount(payment) / 10**digits:.{digits}f}"


def _refund(payment: Payment, answers: Answers) -> str:
    try:
        amount = parse_price(str(answers["amount"]), payment.currency)
    except ValueError as error:
        raise ActionUnavailable(f"This is not a valid amount in {payment.currency.upper()}.") from error
    refund = request_refund(
        payment=payment, amount=amount, reason=Refund.Reason(answers["code"]), actor=Event.Actor.STAFF
    )
    if refund is None:
        payment.refresh_from_db()
        raise ActionUnavailable(f"You can refund at most {format_money(refundable_amount(payment), payment.currency)}.")
    return f"{format_money(amount, payment.currency)} is being refunded."


def _open_credit_count(account: User) -> str:
    return str(open_credits(account).count())


def _grant_blocked_reason(account: User) -> str:
    return (
        ""
        if account.is_active and account.deletion_requested_at is None
        else "This account is blocked or being deleted."
    )


def _refuse_self_grant(owner: User, answers: Answers) -> None:
    if answers["staff"] == owner.pk:
        raise ActionUnavailable("You can't grant packs to yourself. Ask a colleague.")


def _grant(account: User, answers: Answers) -> str:
    _refuse_self_grant(account, answers)
    # If two members of staff grant packs at the same time, the second waits here and then gets StaleTargetError.
    User.objects.select_for_update().get(pk=account.pk)
    if answers["seen_state"] != _open_credit_count(account):
        raise StaleTargetError
    for _ in range(answers["count"]):
        grant_credit(owner=account, reason=Credit.GrantReason(answers["code"]))
    return f"Packs granted: {answers['count']}. The customer will be notified by email."


def _grant_pack_blocked_reason(shoot: Shoot) -> str:
    if not shoot.is_open:
        return "The photos of this shoot have been deleted."
    if shoot.owner is None or _grant_blocked_reason(shoot.owner):
        return "This shoot has no active account that could receive a pack."
    if not shoot.photos.filter(state__in=Photo.USABLE).exists():
        return "This shoot has no usable photo."
    if find_unpaid_payment(shoot):
        return "The customer has an open checkout for this shoot. If they pay, you can refund that payment."
    if shoot.packs.filter(kind=Pack.Kind.PREMIUM, state__in=Pack.LIVE).exists():
        return "A premium pack from this shoot is already being made."
    return ""


def _grant_pack(shoot: Shoot, answers: Answers) -> str:
    assert shoot.owner is not None
    _refuse_self_grant(shoot.owner, answers)
    grant_credit(owner=shoot.owner, reason=Credit.GrantReason(answers["code"]))
    order = Order(shoot, list(answers["styles"]), known_orders=count_orders(shoot), keep_photos=shoot.keep_photos)
    try:
        pack = order_with_credit(order=order, owner=shoot.owner, actor=Event.Actor.STAFF)
    except OrderRefused as refused:
        raise ActionUnavailable(_refusal_message(refused.refusal)) from refused
    assert pack is not None, "a credit was granted in this transaction"
    return "The pack is queued."


def _refusal_message(refusal: Refusal) -> str:
    if refusal == Refusal.TOO_FEW_LOOKS:
        return f"Please choose more looks. {_min_looks_message()}"
    if refusal == Refusal.TOO_LATE:
        return "There isn't enough time left. The photos would be deleted before the pack is finished."
    # `_grant_pack_blocked_reason` rules out all other refusals, so the shoot has changed since that check.
    return "The shoot has just changed. Please check its state and try again."


def _min_looks_message() -> str:
    count = settings.HEADSHOTS_PREMIUM_COUNT
    return f"{count} different headshots need at least {engine.min_style_count(count)} looks with different backdrops."


ACTIONS = (
    Action(
        code="refund",
        title="Refund",
        question="Refund all or part of this payment?",
        effects=(
            "The money is refunded to the original payment method.",
            "A full refund voids the credit. An undelivered pack is stopped, and its pictures are deleted.",
            "The customer keeps headshots that were delivered.",
        ),
        undo_note="This can't be undone. The customer would have to pay again.",
        target_type="payment",
        permission="payments.add_refund",
        load=load_payment,
        state_of=_refundable_amount,
        blocked_reason=lambda payment: "" if refundable_amount(payment) else "Nothing is left to refund.",
        do=_refund,
        form=RefundForm,
        initial=lambda payment: {"amount": _refundable_amount(payment)},
        danger=True,
        shoot_of=lambda payment: payment.pack.shoot_id if payment.pack else None,
        details_of=lambda payment: {"currency": payment.currency},
    ),
    Action(
        code="grant-credits",
        title="Grant packs",
        question="Grant free packs to this account?",
        effects=(
            "Each pack is an open credit that the customer can use for any shoot.",
            "The customer receives one email per pack.",
        ),
        undo_note="You can't take granted packs back here.",
        target_type="account",
        permission="payments.add_credit",
        load=load_account,
        state_of=_open_credit_count,
        blocked_reason=_grant_blocked_reason,
        do=_grant,
        form=GrantForm,
    ),
    Action(
        code="grant-pack",
        title="Grant a premium pack",
        question="Make a free premium pack from this shoot?",
        effects=(
            "A pack in the looks you choose is queued right away.",
            "The customer is notified by email when it is ready.",
        ),
        undo_note="You can cancel the pack while it is being made. The account then keeps the credit.",
        target_type="shoot",
        permission="payments.add_credit",
        load=load_shoot,
        state_of=lambda shoot: f"{shoot.state} {count_orders(shoot)}",
        blocked_reason=_grant_pack_blocked_reason,
        do=_grant_pack,
        form=GrantPackForm,
        shoot_of=lambda shoot: shoot.pk,
    ),
)
