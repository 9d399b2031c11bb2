from django.contrib import admin

from headshots.accounts.admin_mixins import ReadOnlyAdmin
from headshots.vault.models import Blob


@admin.register(Blob)
class BlobAdmin(ReadOnlyAdmin):
    """Which blobs there are and whose key opens them. Nothing here decrypts or changes anything.

    Not deleted here either: rows and files go together, and only after their key; retention does that."""

    list_display = ("id", "kind", "ring", "key_id", "size", "created_at")
    list_filter = ("ring", "kind")
    search_fields = ("id", "key_id")
    date_hierarchy = "created_at"
