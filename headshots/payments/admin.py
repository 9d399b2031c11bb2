"""Staff's view of money, to read. What can be done about it, the dashboard does."""

from django.contrib import admin

from headshots.accounts.read_only import ReadOnlyAdmin
from headshots.payments.models import Credit, LedgerEntry, Payment, Refund, WebhookEvent
from headshots.payments.prices import as_money


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    list_display = ["short_id", "state", "money", "mode", "engine", "created_at", "paid_at"]
    list_filter = ["state", "mode", "engine", "created_at"]
    search_fields = ["id", "session_id", "payment_intent", "pack__id", "pack__shoot__id"]
    exclude = ["session_url"]

    @admin.display(description="amount")
    def money(self, payment: Payment) -> str:
        return as_money(payment.amount_paid or payment.amount, payment.currency)


@admin.register(Credit)
class CreditAdmin(ReadOnlyAdmin):
    list_display = ["short_id", "source", "state", "reason", "created_at", "open_since"]
    list_filter = ["state", "source"]
    search_fields = ["id", "payment__id", "pack__id"]


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    list_display = ["short_id", "payment", "amount", "state", "reason", "created_at"]
    list_filter = ["state", "reason"]
    search_fields = ["id", "stripe_id", "payment__id"]


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    list_display = ["event_id", "type", "outcome", "fetched", "created_at", "received_at"]
    list_filter = ["outcome", "fetched", "type"]
    search_fields = ["event_id", "object_id", "payment_intent", "payment__id"]


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ["at", "kind", "money", "mode", "payment_id", "stripe_id"]
    list_filter = ["kind", "mode", "currency"]
    search_fields = ["payment_id", "stripe_id"]

    @admin.display(description="amount")
    def money(self, entry: LedgerEntry) -> str:
        return as_money(entry.amount, entry.currency)
