"""Restrict the filters of admin lists to those that the list offers."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import ChangeList
from django.db import DataError
from django.db.models import QuerySet
from django.http import HttpRequest

from headshots.accounts.email_addresses import normalize_email


def normalize_search_term(term: str) -> str:
    """Return a search term, with an email address in the stored spelling."""
    return normalize_email(term) if "@" in term else term


class FilteredAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Admin lists that refuse every filter in a URL that the list itself does not offer.

    Django lets a URL filter by any column of the model and with any lookup. Repeated requests with `?amount__gt=` would
    reveal columns that a role cannot see. `?reason__regex=` would run any regular expression."""

    # Filters that the product's own links to this list use, in addition to `list_filter` and `date_hierarchy`.
    linked_filters: tuple[str, ...] = ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return super().get_search_results(request, queryset, normalize_search_term(search_term))

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        assert request is not None
        return lookup in self._filters(request)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Build the list.

        Raises IncorrectLookupParameters for a filter value that Django or the database cannot use. Examples are the
        year 9999, an invalid day and a null byte. The admin then shows the unfiltered list."""
        try:
            return super().get_changelist_instance(request)
        except (ValueError, OverflowError, DataError) as error:
            # Without parameters in the URL, the error has another cause.
            if not request.GET:
                raise
            raise IncorrectLookupParameters(error) from error

    def _filters(self, request: HttpRequest) -> set[str]:
        """Return the names of all URL parameters that the filters of this list accept."""
        names = set(self.linked_filters)
        filters: Iterable[Any] = self.get_list_filter(request)
        for item in filters:
            path, kind = item if isinstance(item, tuple) else (item, admin.FieldListFilter.create)
            field = get_fields_from_path(self.model, path)[-1]
            names.update(kind(field, request, {}, self.model, self, field_path=path).expected_parameters())
        if self.date_hierarchy:
            names.update(f"{self.date_hierarchy}__{part}" for part in ("year", "month", "day"))
        return names
