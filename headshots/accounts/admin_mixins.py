"""Base classes of admin pages: rows that belong to an account, and read-only rows."""

import re
from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from headshots.accounts.lists import FilteredAdmin, normalize_search_term
from headshots.accounts.models import User

VIEW_ACCOUNTS_PERMISSION = "accounts.view_user"
# At most 18 digits, so that the number fits into a 64-bit column of any database.
_NUMBER = re.compile(r"(account )?(\d{1,18})", re.IGNORECASE)
# Lists show this many digits of an id. A bare number of that length can be the beginning of an id.
_ID_DIGITS = 8


def parse_account_number(term: str) -> int | None:
    """Return the number of the account in a search term such as "account 2" or "2".

    Returns None for any other term, and for a bare number that is long enough to be the beginning of an id."""
    found = _NUMBER.fullmatch(term.strip())
    if found is None or (not found[1] and len(found[2]) >= _ID_DIGITS):
        return None
    return int(found[2])


class AccountListAdmin(FilteredAdmin):
    """Admin lists whose rows belong to an account.

    owner_path: lookup from a row to the account. The column `account` of `list_display` shows the account's number.
    For staff who can view accounts, the number is a link, and rows can be found by email address."""

    owner_path = "owner"

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        names = tuple(str(name) for name in super().get_list_display(request))
        if request.user.has_perm(VIEW_ACCOUNTS_PERMISSION):
            return names
        return tuple("account_number" if name == "account" else name for name in names)

    @admin.display(description="account")
    def account(self, row: Model) -> SafeString | str:
        if (owner := self.owner_of(row)) is None:
            return self.account_number(row)
        return format_html('<a href="{}">account {}</a>', reverse("admin:accounts_user_change", args=[owner]), owner)

    @admin.display(description="account")
    def account_number(self, row: Model) -> str:
        owner = self.owner_of(row)
        return "none" if owner is None else f"account {owner}"

    def owner_of(self, row: Any) -> int | None:
        """Return the owner's id without loading the account."""
        *between, last = self.owner_path.split("__")
        for name in between:
            row = getattr(row, name)
        owner: int | None = getattr(row, f"{last}_id")
        return owner

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if (number := parse_account_number(search_term)) is not None:
            return queryset.filter(**{self.owner_path: number}), False
        found, has_duplicates = super().get_search_results(request, queryset, search_term)
        address = normalize_search_term(search_term.strip())
        if not address or not request.user.has_perm(VIEW_ACCOUNTS_PERMISSION):
            return found, has_duplicates
        accounts = User.objects.filter(email__icontains=address).values("pk")
        theirs = queryset.filter(**{f"{self.owner_path}__in": accounts})
        # An id has no "@". Without OR, the database uses the index of accounts.
        return (theirs, False) if "@" in address else (found | theirs, has_duplicates)


class ReadOnlyAdmin(FilteredAdmin):
    """Admin pages of rows that the product writes and staff only read."""

    # The count of all rows takes as long as the list itself.
    show_full_result_count = False

    @admin.display(description="id", ordering="pk")
    def short_id(self, row: Model) -> str:
        """Return the first eight digits of a row's id, because a list has no room for more."""
        return str(row.pk)[:8]

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Return the fields of the page.

        Shows plain text in place of a link to a page that this viewer cannot open."""
        names = [str(name) for name in super().get_fields(request, obj)]
        return [self._as_text(name) if self._is_forbidden(request, name) else name for name in names]

    def _is_forbidden(self, request: HttpRequest, name: str) -> bool:
        try:
            related = self.opts.get_field(name).related_model
        except FieldDoesNotExist:
            return False
        page = self.admin_site._registry.get(related) if isinstance(related, type) else None
        return page is not None and not page.has_view_permission(request)

    def _as_text(self, name: str) -> Callable[[Model], str]:
        @admin.display(description=str(getattr(self.opts.get_field(name), "verbose_name", name)))
        def text(row: Model) -> str:
            value = getattr(row, name)
            return str(self.get_empty_value_display() if value is None else value)

        text.__name__ = name
        return text

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
