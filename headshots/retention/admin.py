"""Admin page of deletion certificates: support finds one by its reference."""

from django.contrib import admin
from django.http import HttpRequest

from headshots.accounts.admin_mixins import ReadOnlyAdmin
from headshots.retention.models import DeletionCertificate, KeyDestruction


class _KeyDestructionInline(admin.TabularInline):  # type: ignore[type-arg]
    model = KeyDestruction
    fields = readonly_fields = ("ring", "key_id", "destroyed_at", "done_at", "counts")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(DeletionCertificate)
class DeletionCertificateAdmin(ReadOnlyAdmin):
    """The read-only admin of certificates. An editable certificate would prove nothing."""

    list_display = ("reference", "kind", "requested_by", "shoot_id", "begun_at", "done_at", "mailed_at")
    list_filter = ("kind", "requested_by")
    search_fields = ("reference", "shoot_id")
    search_help_text = "Certificate number or shoot ID."
    date_hierarchy = "begun_at"
    inlines = (_KeyDestructionInline,)
