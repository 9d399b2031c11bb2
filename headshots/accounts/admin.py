"""Admin pages of accounts. Passwords and two-factor authentication cannot be edited there."""

from typing import Any

from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.forms import CheckboxSelectMultiple
from django.http import Http404, HttpRequest, HttpResponse

from headshots.accounts.admin_mixins import ReadOnlyAdmin, parse_account_number
from headshots.accounts.current_user import current_user
from headshots.accounts.lists import FilteredAdmin
from headshots.accounts.models import User

admin.site.unregister(EmailAddress)
# Each migration rewrites the permissions of the roles, so an edit would not last.
admin.site.unregister(Group)


@admin.register(User)
class AccountAdmin(FilteredAdmin, UserAdmin):  # type: ignore[type-arg]
    """Admin pages of accounts and of the roles of staff.

    The address and password of an account cannot be changed here, and its password hash is not shown. Otherwise staff
    could sign in as the customer and see the headshots. Blocking and unblocking are audited actions with a reason.
    Staff delete accounts with `manage.py delete_account` only, which also deletes pictures and sessions."""

    list_display = ("email", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email",)
    search_help_text = "E-mail address, or number of the account: “account 2”."
    ordering = ("-date_joined",)
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("email",)}),
        ("May", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Times", {"fields": ("date_joined", "last_login")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "usable_password", "password1", "password2")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        fixed = ("date_joined", "last_login") if obj is None else ("email", "is_active", "date_joined", "last_login")
        # Only a superuser makes another account a superuser.
        return fixed if current_user(request).is_superuser else (*fixed, "is_superuser")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        if (number := parse_account_number(search_term)) is not None:
            return queryset.filter(pk=number), False
        return super().get_search_results(request, queryset, search_term)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        raise Http404

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Return a field that shows the roles as checkboxes."""
        return super().formfield_for_manytomany(db_field, request, **options, widget=CheckboxSelectMultiple)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin):
    """Read-only admin pages of email addresses and their confirmation.

    An edit would copy the address into the admin's log, which outlives the account."""

    list_display = ("email", "user", "verified", "primary")
    list_filter = ("verified", "primary")
    search_fields = ("email",)
    search_help_text = "E-mail address."
