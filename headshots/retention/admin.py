"""Staff's view of receipts: support finds one by the reference that its owner quotes."""

from django.contrib import admin
from django.http import HttpRequest

from headshots.accounts.admin_mixins import ReadOnlyAdmin
from headshots.retention.models import Destruction, Receipt


class _DestructionInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Destruction
    fields = readonly_fields = ("ring", "key_id", "key_died_at", "done_at", "counts")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Receipt)
class ReceiptAdmin(ReadOnlyAdmin):
    """Read only: a proof that could be edited would prove nothing."""

    list_display = ("reference", "kind", "asked_by", "shoot_id", "begun_at", "done_at", "mailed_at")
    list_filter = ("kind", "asked_by")
    search_fields = ("reference", "shoot_id")
    search_help_text = "Reference of the receipt, or id of the shoot."
    date_hierarchy = "begun_at"
    inlines = (_DestructionInline,)
