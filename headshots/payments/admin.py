"""Admin pages of payments, read-only. Actions on money are in the dashboard."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from headshots.accounts.admin_mixins import AccountListAdmin, ReadOnlyAdmin
from headshots.payments.models import Credit, LedgerEntry, Payment, Refund, WebhookEvent, Withdrawal
from headshots.payments.prices import format_money

# More staff can see that there was a payment than how much was paid.
_VIEW_AMOUNTS_PERMISSION = "dashboard.view_money"


class MoneyAdmin(ReadOnlyAdmin):
    """Read-only admin pages that hide amounts from staff without the permission to view money.

    amounts: the columns to hide."""

    amounts: tuple[str, ...] = ()

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return tuple(str(name) for name in self._visible_columns(request, super().get_list_display(request)))

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self._visible_columns(request, super().get_fields(request, obj))

    def _visible_columns(self, request: HttpRequest, names: Iterable[Any]) -> list[Any]:
        sees = request.user.has_perm(_VIEW_AMOUNTS_PERMISSION)
        return [name for name in names if sees or name not in self.amounts]


@admin.register(Payment)
class PaymentAdmin(AccountListAdmin, MoneyAdmin):
    amounts = ("money", "price", "paid", "tax", "refunded")
    list_display = ["short_id", "account", "state", "money", "mode", "engine", "created_at", "paid_at"]
    list_filter = ["state", "mode", "engine", "created_at"]
    search_fields = ["id", "session_id", "payment_intent", "pack__id", "pack__shoot__id"]
    search_help_text = (
        "Payment, pack or shoot ID, Stripe session or payment ID, or account: “account 2”, or the email if you can "
        "view accounts."
    )
    fields = [
        "owner", "pack", "engine", "mode", "state", "price", "paid", "tax", "refunded", "session_id",
        "payment_intent", "dispute_id", "dispute_state", "created_at", "expires_at", "paid_at", "last_stripe_call_at",
    ]  # fmt: skip

    @admin.display(description="amount")
    def money(self, payment: Payment) -> str:
        return format_money(payment.amount_paid or payment.amount, payment.currency)

    def price(self, payment: Payment) -> str:
        return format_money(payment.amount, payment.currency)

    def paid(self, payment: Payment) -> str:
        return format_money(payment.amount_paid, payment.currency)

    @admin.display(description="tax included")
    def tax(self, payment: Payment) -> str:
        return format_money(payment.amount_tax, payment.currency)

    def refunded(self, payment: Payment) -> str:
        return format_money(payment.amount_refunded, payment.currency)


@admin.register(Credit)
class CreditAdmin(AccountListAdmin, ReadOnlyAdmin):
    list_display = ["short_id", "account", "source", "state", "reason", "created_at", "open_since"]
    list_filter = ["state", "source"]
    search_fields = ["id", "payment__id", "pack__id"]
    search_help_text = "Credit, payment or pack ID, or account: “account 2”, or the email if you can view accounts."


@admin.register(Refund)
class RefundAdmin(MoneyAdmin):
    amounts = ("money",)
    list_display = ["short_id", "payment", "money", "state", "reason", "created_at"]
    list_filter = ["state", "reason"]
    list_select_related = ["payment"]
    search_fields = ["id", "stripe_id", "payment__id"]
    search_help_text = "Refund ID, Stripe refund ID or payment ID."
    fields = ["payment", "money", "reason", "state", "stripe_id", "created_at", "last_stripe_call_at"]

    @admin.display(description="amount")
    def money(self, refund: Refund) -> str:
        return format_money(refund.amount, refund.payment.currency)


@admin.register(Withdrawal)
class WithdrawalAdmin(ReadOnlyAdmin):
    list_display = ["payment", "at", "outcome"]
    list_filter = ["outcome", "at"]
    list_select_related = ["payment"]
    search_fields = ["payment__id"]
    search_help_text = "Payment ID."


@admin.register(WebhookEvent)
class WebhookEventAdmin(MoneyAdmin):
    amounts = ("money", "tax")
    list_display = ["event_id", "type", "outcome", "fetched", "created_at", "received_at"]
    list_filter = ["outcome", "fetched", "type"]
    search_fields = ["event_id", "object_id", "payment_intent", "payment__id"]
    search_help_text = "Stripe ID of the event, its object or its payment, or payment ID."
    fields = [
        "event_id", "type", "created_at", "received_at", "fetched", "outcome", "object_id", "payment_intent",
        "payment", "money", "tax", "status",
    ]  # fmt: skip

    @admin.display(description="amount")
    def money(self, event: WebhookEvent) -> str | None:
        return None if event.amount is None else format_money(event.amount, event.currency)

    @admin.display(description="tax included")
    def tax(self, event: WebhookEvent) -> str | None:
        return None if event.amount_tax is None else format_money(event.amount_tax, event.currency)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(MoneyAdmin):
    amounts = ("money",)
    list_display = ["at", "kind", "money", "mode", "payment_id", "stripe_id"]
    list_filter = ["kind", "mode", "currency"]
    search_fields = ["payment_id", "stripe_id"]
    search_help_text = "Payment ID, or Stripe ID of the session, refund or dispute."
    fields = ["at", "kind", "money", "mode", "payment_id", "stripe_id"]

    @admin.display(description="amount")
    def money(self, entry: LedgerEntry) -> str:
        return format_money(entry.amount, entry.currency)
