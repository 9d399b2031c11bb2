"""The audit log, to look at and to take along."""

import csv
from collections.abc import Iterator
from datetime import UTC
from typing import TYPE_CHECKING

from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import CharField, OuterRef, Q, QuerySet, Subquery, Value
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from headshots.accounts.admin_mixins import ReadOnlyAdmin, parse_account_number
from headshots.accounts.models import User
from headshots.dashboard.actions.registry import title_of
from headshots.dashboard.models import Deed

if TYPE_CHECKING:
    from django.contrib.admin.filters import _ListFilterChoices

_COLUMNS = ("at", "account", "address", "what", "subject", "id", "about", "shoot", "amount", "more", "reason")

# Its rows hold the secrets of second factors.
admin.site.unregister(Authenticator)


class _ByTitle(admin.AllValuesFieldListFilter):
    """By action, called as its button and its rows are."""

    def choices(self, changelist: ChangeList) -> "Iterator[_ListFilterChoices]":
        for choice in super().choices(changelist):
            # With counts it is "grant-pack (3)".
            code, *count = str(choice["display"]).split()
            choice["display"] = " ".join([title_of(code), *count])
            yield choice


@admin.register(Deed)
class DeedAdmin(ReadOnlyAdmin):
    """Who did what, when and why."""

    list_display = ["time", "by", "what", "to", "amount", "reason", "more"]
    list_display_links = ["time"]
    list_filter = [("action", _ByTitle), "subject", "at"]
    # What was done to one thing: `audit_log_of` makes these links.
    linked_filters = ("subject", "subject_id", "shoot_id", "about__startswith")
    empty_value_display = ""
    search_fields = ["subject_id", "shoot_id", "about", "reason", "details", "address"]
    search_help_text = (
        "Whole id of what it was done to or of its shoot, whom it was done to or by (“account 2”), a word of the "
        "reason or of what was chosen (“goodwill”), or the e-mail address of whoever did it if you may see accounts."
    )
    date_hierarchy = "at"
    fields = ["time", "by", "what", "to", "shoot", "amount", "more", "reason"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deed]:
        """With the address of whoever did it, for those who may see accounts."""
        addresses = User.objects.filter(pk=OuterRef("who")).values("email")
        may_see = request.user.has_perm("accounts.view_user")
        known = Subquery(addresses) if may_see else Value("", output_field=CharField())
        deeds: QuerySet[Deed] = super().get_queryset(request).annotate(address=known)
        return deeds

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Deed], search_term: str
    ) -> tuple[QuerySet[Deed], bool]:
        if (
            search_term.strip().lower().startswith("account")
            and (number := parse_account_number(search_term)) is not None
        ):
            return queryset.filter(Q(about=f"account {number}") | Q(who=number)), False
        # "code: goodwill", as the list has it, is kept in another spelling.
        return super().get_search_results(request, queryset, search_term.replace(": ", " "))

    def get_urls(self) -> list[URLPattern]:
        own = path("audit-log.csv", self.admin_site.admin_view(require_safe(self.csv)), name="audit_log_csv")
        return [own, *super().get_urls()]

    def csv(self, request: HttpRequest) -> HttpResponse:
        """What the list shows, searched and filtered alike, as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            deeds = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters as error:
            raise Http404 from error
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="headshots-audit-log.csv"'
        writer = csv.writer(response)
        writer.writerow(_COLUMNS)
        writer.writerows([_plain(str(cell)) for cell in _row(deed)] for deed in deeds)
        return response

    @admin.display(description="time, UTC", ordering="at")
    def time(self, deed: Deed) -> str:
        return f"{deed.at:%-d %b %Y %H:%M:%S}"

    @admin.display(description="who", ordering="who")
    def by(self, deed: Deed) -> SafeString | str:
        address = getattr(deed, "address", "")
        if not address:
            return f"account {deed.who}"
        return format_html('<a href="{}">{}</a>', reverse("admin:accounts_user_change", args=[deed.who]), address)

    @admin.display(description="what", ordering="action")
    def what(self, deed: Deed) -> str:
        return title_of(deed.action)

    @admin.display(description="to", ordering="subject")
    def to(self, deed: Deed) -> SafeString | str:
        if not deed.subject_id:
            return deed.about or deed.subject
        page = reverse("admin:about", args=[deed.subject, deed.subject_id])
        return format_html('<a href="{}">{}</a>', page, deed.about or f"{deed.subject} {deed.subject_id[:8]}")

    @admin.display(description="shoot")
    def shoot(self, deed: Deed) -> SafeString | str:
        if deed.shoot_id is None:
            return "–"
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:support_timeline", args=[deed.shoot_id]), deed.shoot_id
        )

    @admin.display(description="amount")
    def amount(self, deed: Deed) -> str:
        return deed.amount

    @admin.display(description="chosen or changed")
    def more(self, deed: Deed) -> str:
        return deed.more


def _row(deed: Deed) -> tuple[object, ...]:
    return (
        deed.at.astimezone(UTC).isoformat(timespec="seconds"), deed.who, getattr(deed, "address", "") or "",
        deed.action, deed.subject, deed.subject_id, deed.about, deed.shoot_id or "",
        deed.amount, deed.more, deed.reason,
    )  # fmt: skip


def _plain(cell: str) -> str:
    """No cell is a formula to a spreadsheet, whatever was given as a reason."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
