"""Admin pages of the audit log (read it, export it) and of abuse reports."""

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
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from headshots.accounts.admin_mixins import ReadOnlyAdmin, parse_account_number
from headshots.accounts.models import User
from headshots.dashboard.actions import edits as edits
from headshots.dashboard.actions.registry import action_title
from headshots.dashboard.models import AbuseReport, AuditLogEntry

if TYPE_CHECKING:
    from django.contrib.admin.filters import _ListFilterChoices

_COLUMNS = (
    "at", "account", "email", "action", "target_type", "target_id", "target", "shoot", "amount", "details", "reason",
)  # fmt: skip

# Rows of this model contain the secrets of second factors, so the admin does not show them.
admin.site.unregister(Authenticator)


@admin.register(AbuseReport)
class AbuseReportAdmin(ReadOnlyAdmin):
    """The list of abuse reports. What people wrote is in the operator's mailbox."""

    list_display = ["number", "about", "received_at", "hours", "outcome"]
    list_filter = ["outcome", "about", "received_at"]
    search_fields = ["number"]
    search_help_text = "Number of the report."
    fields = ["number", "about", "received_at", "closed_at", "hours", "outcome"]

    @admin.display(description="hours open")
    def hours(self, report: AbuseReport) -> str:
        end = report.closed_at or timezone.now()
        return f"{(end - report.received_at).total_seconds() / 3600:.1f}"


class _ActionFilter(admin.AllValuesFieldListFilter):
    """A filter by action that shows titles instead of codes."""

    def choices(self, changelist: ChangeList) -> "Iterator[_ListFilterChoices]":
        for choice in super().choices(changelist):
            # With facet counts, the text is "grant-pack (3)".
            code, *count = str(choice["display"]).split()
            choice["display"] = " ".join([action_title(code), *count])
            yield choice


@admin.register(AuditLogEntry)
class AuditLogAdmin(ReadOnlyAdmin):
    """The admin page of the audit log, read only."""

    list_display = ["time", "staff", "action_title", "target", "amount", "reason", "other_details"]
    list_display_links = ["time"]
    list_filter = [("action", _ActionFilter), "target_type", "at"]
    # `audit_log_url` builds links with these filters.
    linked_filters = ("target_type", "target_id", "shoot_id", "target_name__startswith")
    empty_value_display = ""
    search_fields = ["target_id", "shoot_id", "target_name", "reason", "details", "email"]
    search_help_text = (
        "Search by the full ID of a target or its shoot, by account (“account 2”), or by a word in the reason or "
        "details (“goodwill”). If you can view accounts, you can also search by the staff member's email."
    )
    date_hierarchy = "at"
    fields = ["time", "staff", "action_title", "target", "shoot", "amount", "other_details", "reason"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditLogEntry]:
        """Return the entries with the email address of the member of staff, if the viewer may see accounts."""
        addresses = User.objects.filter(pk=OuterRef("staff_id")).values("email")
        may_see = request.user.has_perm("accounts.view_user")
        known = Subquery(addresses) if may_see else Value("", output_field=CharField())
        entries: QuerySet[AuditLogEntry] = super().get_queryset(request).annotate(email=known)
        return entries

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditLogEntry], search_term: str
    ) -> tuple[QuerySet[AuditLogEntry], bool]:
        if (
            search_term.strip().lower().startswith("account")
            and (number := parse_account_number(search_term)) is not None
        ):
            return queryset.filter(Q(target_name=f"account {number}") | Q(staff_id=number)), False
        # The list shows details as "code: goodwill", but the stored JSON has quotes around each word.
        return super().get_search_results(request, queryset, search_term.replace(": ", " "))

    def get_urls(self) -> list[URLPattern]:
        own = path("audit-log.csv", self.admin_site.admin_view(require_safe(self.csv)), name="audit_log_csv")
        return [own, *super().get_urls()]

    def csv(self, request: HttpRequest) -> HttpResponse:
        """Serve the entries of the list as a CSV file, with the same search and filters.

        Answers 403 without the permission, and 404 for invalid values of filters."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            entries = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters as error:
            raise Http404 from error
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="headshots-audit-log.csv"'
        writer = csv.writer(response)
        writer.writerow(_COLUMNS)
        writer.writerows([_escape_formula(str(cell)) for cell in _row(entry)] for entry in entries)
        return response

    @admin.display(description="time (UTC)", ordering="at")
    def time(self, entry: AuditLogEntry) -> str:
        return f"{entry.at:%b %-d, %Y, %H:%M:%S}"

    @admin.display(description="staff member", ordering="staff_id")
    def staff(self, entry: AuditLogEntry) -> SafeString | str:
        email = getattr(entry, "email", "")
        if not email:
            return f"account {entry.staff_id}"
        return format_html('<a href="{}">{}</a>', reverse("admin:accounts_user_change", args=[entry.staff_id]), email)

    @admin.display(description="action", ordering="action")
    def action_title(self, entry: AuditLogEntry) -> str:
        return action_title(entry.action)

    @admin.display(description="target", ordering="target_type")
    def target(self, entry: AuditLogEntry) -> SafeString | str:
        if not entry.target_id:
            return entry.target_name or entry.target_type
        page = reverse("admin:target", args=[entry.target_type, entry.target_id])
        name = entry.target_name or f"{entry.target_type} {entry.target_id[:8]}"
        return format_html('<a href="{}">{}</a>', page, name)

    @admin.display(description="shoot")
    def shoot(self, entry: AuditLogEntry) -> SafeString | str:
        if entry.shoot_id is None:
            return "–"
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:support_timeline", args=[entry.shoot_id]), entry.shoot_id
        )

    @admin.display(description="amount")
    def amount(self, entry: AuditLogEntry) -> str:
        return entry.amount

    @admin.display(description="details")
    def other_details(self, entry: AuditLogEntry) -> str:
        return entry.other_details


def _row(entry: AuditLogEntry) -> tuple[object, ...]:
    return (
        entry.at.astimezone(UTC).isoformat(timespec="seconds"), entry.staff_id, getattr(entry, "email", "") or "",
        entry.action, entry.target_type, entry.target_id, entry.target_name, entry.shoot_id or "",
        entry.amount, entry.other_details, entry.reason,
    )  # fmt: skip


def _escape_formula(cell: str) -> str:
    """Prefix text that a spreadsheet would run as a formula with an apostrophe."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
