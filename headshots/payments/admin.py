"""Staff's view of money, to read. What can be done about it, the dashboard does."""

from collections.abc import Iterable

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from headshots.accounts.read_only import ReadOnlyAdmin
from headshots.payments.models import Credit, LedgerEntry, Payment, Refund, WebhookEvent
from headshots.payments.prices import as_money

# Whose row a list shows may be for more people to see than how much it was.
_SEES_AMOUNTS = "dashboard.view_money"


class MoneyAdmin(ReadOnlyAdmin):
    """`amounts`: the columns that only those see who may see money."""

    amounts: tuple[str, ...] = ()

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return self._seen(request, super().get_list_display(request))

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return self._seen(request, super().get_fields(request, obj))

    def _seen(self, request: HttpRequest, names: Iterable[object]) -> tuple[str, ...]:
        sees = request.user.has_perm(_SEES_AMOUNTS)
        return tuple(str(name) for name in names if sees or name not in self.amounts)


@admin.register(Payment)
class PaymentAdmin(MoneyAdmin):
    amounts = ("money", "price", "paid", "tax", "given_back")
    list_display = ["short_id", "state", "money", "mode", "engine", "created_at", "paid_at"]
    list_filter = ["state", "mode", "engine", "created_at"]
    search_fields = ["id", "session_id", "payment_intent", "pack__id", "pack__shoot__id"]
    fields = [
        "owner", "pack", "engine", "mode", "state", "price", "paid", "tax", "given_back", "session_id",
        "payment_intent", "dispute_id", "dispute_state", "created_at", "expires_at", "paid_at", "asked_at",
    ]  # fmt: skip

    @admin.display(description="amount")
    def money(self, payment: Payment) -> str:
        return as_money(payment.amount_paid or payment.amount, payment.currency)

    def price(self, payment: Payment) -> str:
        return as_money(payment.amount, payment.currency)

    def paid(self, payment: Payment) -> str:
        return as_money(payment.amount_paid, payment.currency)

    @admin.display(description="of it tax")
    def tax(self, payment: Payment) -> str:
        return as_money(payment.amount_tax, payment.currency)

    def given_back(self, payment: Payment) -> str:
        return as_money(payment.amount_refunded, payment.currency)


@admin.register(Credit)
class CreditAdmin(ReadOnlyAdmin):
    list_display = ["short_id", "source", "state", "reason", "created_at", "open_since"]
    list_filter = ["state", "source"]
    search_fields = ["id", "payment__id", "pack__id"]


@admin.register(Refund)
class RefundAdmin(MoneyAdmin):
    amounts = ("money",)
    list_display = ["short_id", "payment", "money", "state", "reason", "created_at"]
    list_filter = ["state", "reason"]
    list_select_related = ["payment"]
    search_fields = ["id", "stripe_id", "payment__id"]
    fields = ["payment", "money", "reason", "state", "stripe_id", "created_at", "asked_at"]

    @admin.display(description="amount")
    def money(self, refund: Refund) -> str:
        return as_money(refund.amount, refund.payment.currency)


@admin.register(WebhookEvent)
class WebhookEventAdmin(MoneyAdmin):
    amounts = ("money", "tax")
    list_display = ["event_id", "type", "outcome", "fetched", "created_at", "received_at"]
    list_filter = ["outcome", "fetched", "type"]
    search_fields = ["event_id", "object_id", "payment_intent", "payment__id"]
    fields = [
        "event_id", "type", "created_at", "received_at", "fetched", "outcome", "object_id", "payment_intent",
        "payment", "money", "tax", "status",
    ]  # fmt: skip

    @admin.display(description="amount")
    def money(self, event: WebhookEvent) -> str | None:
        return None if event.amount is None else as_money(event.amount, event.currency)

    @admin.display(description="of it tax")
    def tax(self, event: WebhookEvent) -> str | None:
        return None if event.amount_tax is None else as_money(event.amount_tax, event.currency)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(MoneyAdmin):
    amounts = ("money",)
    list_display = ["at", "kind", "money", "mode", "payment_id", "stripe_id"]
    list_filter = ["kind", "mode", "currency"]
    search_fields = ["payment_id", "stripe_id"]
    fields = ["at", "kind", "money", "mode", "payment_id", "stripe_id"]

    @admin.display(description="amount")
    def money(self, entry: LedgerEntry) -> str:
        return as_money(entry.amount, entry.currency)
