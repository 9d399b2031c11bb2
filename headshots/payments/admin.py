"""Staff's view of money: everything to read, two things to do: give money back, grant a pack."""

from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from headshots.payments.credits import grant_credit
from headshots.payments.models import Credit, LedgerEntry, Payment, Refund, WebhookEvent
from headshots.payments.prices import as_money, digits_of
from headshots.payments.refunds import refundable, request_refund
from headshots.shoots.models import Event

# What staff may choose; the others the product writes by itself.
_REASONS = [
    Refund.Reason.PERSON,
    Refund.Reason.QUALITY,
    Refund.Reason.GOODWILL,
    Refund.Reason.DUPLICATE,
    Refund.Reason.FRAUDULENT,
]
_GRANTS = [("goodwill", "Goodwill"), ("support", "Support"), ("test", "Trying the product"), ("press", "Press")]


class _ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that the product writes and staff only read."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class RefundForm(forms.Form):
    """How much, and why."""

    amount = forms.DecimalField(min_value=0)
    reason = forms.ChoiceField(choices=[(reason.value, reason.label) for reason in _REASONS])

    def __init__(self, *args: object, payment: Payment, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        digits = digits_of(payment.currency)
        self.fields["amount"] = forms.DecimalField(
            min_value=1 / 10**digits, max_value=refundable(payment) / 10**digits, decimal_places=digits
        )


@admin.register(Payment)
class PaymentAdmin(_ReadOnly):
    list_display = ["id", "state", "money", "mode", "engine", "created_at", "paid_at"]
    list_filter = ["state", "mode", "engine", "created_at"]
    search_fields = ["id", "session_id", "payment_intent", "pack__id", "pack__shoot__id"]
    exclude = ["session_url"]
    readonly_fields = ["give_back"]

    @admin.display(description="amount")
    def money(self, payment: Payment) -> str:
        return as_money(payment.amount_paid or payment.amount, payment.currency)

    @admin.display(description="give money back")
    def give_back(self, payment: Payment) -> SafeString | str:
        if not refundable(payment):
            return "nothing is left to give back"
        left = as_money(refundable(payment), payment.currency)
        return format_html('<a href="{}">up to {}</a>', reverse("admin:payments_refund", args=[payment.pk]), left)

    def get_urls(self) -> list[URLPattern]:
        own = path("<uuid:payment_id>/refund/", self.admin_site.admin_view(self.refund), name="payments_refund")
        return [own, *super().get_urls()]

    def refund(self, request: HttpRequest, payment_id: UUID) -> HttpResponse:
        """Give all or a part of a payment back, with a reason."""
        if not request.user.has_perm("payments.add_refund"):
            raise PermissionDenied
        payment = get_object_or_404(Payment, pk=payment_id)
        digits, left = digits_of(payment.currency), refundable(payment)
        initial = {"amount": f"{left / 10**digits:.{digits}f}"}
        form = RefundForm(request.POST or None, initial=initial, payment=payment)
        if request.method == "POST" and form.is_valid():
            amount, reason = int(form.cleaned_data["amount"].scaleb(digits)), form.cleaned_data["reason"]
            refund = request_refund(payment=payment, amount=amount, reason=reason, actor=Event.Actor.STAFF)
            if refund is None:
                messages.error(request, "That much is not left to give back.")
            else:
                self.log_change(request, payment, f"refund {refund.pk}: {amount} {payment.currency}, {reason}")
                messages.success(request, f"{as_money(amount, payment.currency)} is on its way back.")
            return redirect("admin:payments_payment_change", payment.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": "Give money back",
            "payment": payment,
            "left": as_money(left, payment.currency),
            "form": form,
            "opts": self.opts,
        }
        return render(request, "admin/payments/refund.html", context)


class GrantForm(forms.ModelForm):  # type: ignore[type-arg]
    """For whom, and why."""

    reason = forms.ChoiceField(choices=_GRANTS)

    class Meta:
        model = Credit
        fields = ["owner", "reason"]

    def clean_owner(self) -> object:
        """A right of nobody's could never be used."""
        owner = self.cleaned_data["owner"]
        if owner is None:
            raise forms.ValidationError("Choose an account.")
        return owner


@admin.register(Credit)
class CreditAdmin(_ReadOnly):
    """Adding one grants a pack."""

    list_display = ["id", "source", "state", "reason", "created_at", "open_since"]
    list_filter = ["state", "source"]
    search_fields = ["id", "payment__id", "pack__id"]
    autocomplete_fields = ["owner"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("payments.add_credit")

    def get_form(
        self, request: HttpRequest, obj: object = None, change: bool = False, **options: object
    ) -> type[forms.ModelForm]:  # type: ignore[type-arg]
        if obj is None:
            options["form"] = GrantForm
        return super().get_form(request, obj, change, **options)

    def get_fields(self, request: HttpRequest, obj: object = None) -> list[str]:  # type: ignore[override]
        every = ["id", "owner", "source", "state", "reason", "payment", "pack", "redo_of", "created_at", "open_since"]
        return ["owner", "reason"] if obj is None else every

    def save_model(self, request: HttpRequest, obj: Credit, form: object, change: bool) -> None:
        """Through the service that also tells the person."""
        assert obj.owner is not None
        granted = grant_credit(owner=obj.owner, reason=obj.reason)
        obj.pk = granted.pk
        obj.refresh_from_db()


@admin.register(Refund)
class RefundAdmin(_ReadOnly):
    list_display = ["id", "payment", "amount", "state", "reason", "created_at"]
    list_filter = ["state", "reason"]
    search_fields = ["id", "stripe_id", "payment__id"]


@admin.register(WebhookEvent)
class WebhookEventAdmin(_ReadOnly):
    list_display = ["event_id", "type", "outcome", "fetched", "created_at", "received_at"]
    list_filter = ["outcome", "fetched", "type"]
    search_fields = ["event_id", "object_id", "payment_intent", "payment__id"]


@admin.register(LedgerEntry)
class LedgerEntryAdmin(_ReadOnly):
    list_display = ["at", "kind", "money", "mode", "payment_id", "stripe_id"]
    list_filter = ["kind", "mode", "currency"]
    search_fields = ["payment_id", "stripe_id"]

    @admin.display(description="amount")
    def money(self, entry: LedgerEntry) -> str:
        return as_money(entry.amount, entry.currency)
