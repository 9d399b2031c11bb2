from django.contrib import admin

from headshots.accounts.admin_mixins import ReadOnlyAdmin
from headshots.vault.models import Blob


@admin.register(Blob)
class BlobAdmin(ReadOnlyAdmin):
    """The read-only admin of blobs. It shows which key each blob needs, and decrypts nothing.

    Blobs can't be deleted here. Retention deletes them in the right order: key, file, row."""

    list_display = ("id", "kind", "ring", "key_id", "size", "created_at")
    list_filter = ("ring", "kind")
    search_fields = ("id", "key_id")
    date_hierarchy = "created_at"
