from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that the product writes and staff only read."""

    # Counting all rows beside those that were found takes as long as the list itself.
    show_full_result_count = False

    @admin.display(description="id", ordering="pk")
    def short_id(self, row: Model) -> str:
        """Its first eight digits, as a list has room for; its own page has them all."""
        return str(row.pk)[:8]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
