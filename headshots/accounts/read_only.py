from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.http import HttpRequest

from headshots.accounts.lists import FilteredAdmin


class ReadOnlyAdmin(FilteredAdmin):
    """Rows that the product writes and staff only read."""

    # Counting all rows beside those that were found takes as long as the list itself.
    show_full_result_count = False

    @admin.display(description="id", ordering="pk")
    def short_id(self, row: Model) -> str:
        """Its first eight digits, as a list has room for; its own page has them all."""
        return str(row.pk)[:8]

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Those that would lead to a page that this viewer may not open are words, not links."""
        names = [str(name) for name in super().get_fields(request, obj)]
        return [self._words_of(name) if self._is_closed(request, name) else name for name in names]

    def _is_closed(self, request: HttpRequest, name: str) -> bool:
        try:
            related = self.opts.get_field(name).related_model
        except FieldDoesNotExist:
            return False
        page = self.admin_site._registry.get(related) if isinstance(related, type) else None
        return page is not None and not page.has_view_permission(request)

    def _words_of(self, name: str) -> Callable[[Model], str]:
        @admin.display(description=str(getattr(self.opts.get_field(name), "verbose_name", name)))
        def words(row: Model) -> str:
            value = getattr(row, name)
            return str(self.get_empty_value_display() if value is None else value)

        words.__name__ = name
        return words

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
