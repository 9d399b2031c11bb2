from django.contrib import admin
from django.http import HttpRequest

from headshots.vault.models import Blob


@admin.register(Blob)
class BlobAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Which blobs there are and whose key opens them. Nothing here decrypts, changes or deletes."""

    list_display = ("id", "kind", "ring", "key_id", "size", "created_at")
    list_filter = ("ring", "kind")
    search_fields = ("id", "key_id")
    date_hierarchy = "created_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Blob | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Blob | None = None) -> bool:
        # Rows and files go together, and only after their key: retention does that.
        return False
