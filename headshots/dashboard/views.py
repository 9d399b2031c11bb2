"""The first page of the admin: status, charts and tables of a range of days, and each table as CSV."""

import csv as csv_files
from collections.abc import Sequence

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from headshots.dashboard.monitoring import workers
from headshots.dashboard.monitoring.health import run_health_checks
from headshots.dashboard.stats import charts, live_stats
from headshots.dashboard.stats.charts import CHARTS
from headshots.dashboard.stats.daily_stats import MAX_RANGE_DAYS, DailyStats, Range
from headshots.dashboard.stats.revenue import MODES, NET, REVENUE, RevenueTotals
from headshots.dashboard.stats.tables import DashboardStats, build_tables, load_dashboard_stats
from headshots.payments.models import Payment
from headshots.shoots.lifecycle import MAX_CONSECUTIVE_FAILURES
from headshots.shoots.models import Pause

PRESET_DAYS = (1, 7, 30)
DEFAULT_DAYS = 7
_MAX_FAILURES = 8
# ISO dates, because browsers accept no other format as the value of a date input.
_DATE = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})


class RangeForm(forms.Form):
    """The form for the range of days: ?days=7, or ?first=2026-11-01&last=2026-11-20."""

    days = forms.IntegerField(min_value=1, max_value=MAX_RANGE_DAYS, required=False)
    first = forms.DateField(label="From", required=False, widget=_DATE)
    last = forms.DateField(label="To", required=False, widget=_DATE)

    def selected_range(self) -> Range | None:
        """Return the requested range, by default DEFAULT_DAYS up to today.

        Returns None for invalid input, with the reason in `errors`."""
        if not self.is_valid():
            return None
        first, last = self.cleaned_data["first"], self.cleaned_data["last"]
        if not (first or last):
            return Range.until_today(self.cleaned_data["days"] or DEFAULT_DAYS)
        today = timezone.now().date()
        if first and first > today:
            self.add_error("first", "Choose a start date that isn't in the future.")
            return None
        try:
            return Range(first or last, last or today)
        except ValueError:
            self.add_error("last", f"Choose 1 to {MAX_RANGE_DAYS} days. The start date can't be after the end date.")
            return None

    def display_form(self, days: Range) -> "RangeForm":
        """Return the form to show: this form if it has errors, otherwise a form filled with `days`."""
        return self if self.errors else RangeForm(initial={"first": days.first, "last": days.last})


@require_safe
def dashboard(request: HttpRequest, site_context: dict[str, object]) -> TemplateResponse:
    """Render the dashboard. Statistics and revenue are shown only to staff with the permissions for them."""
    form = RangeForm(request.GET)
    days = form.selected_range() or Range.until_today(DEFAULT_DAYS)
    context = site_context | {
        "title": "Dashboard",
        "form": form.display_form(days),
        "preset_days": PRESET_DAYS,
        "days": days,
        "is_until_today": days == Range.until_today(days.days),
        "health_checks": run_health_checks(),
        "parts": list(Pause.Part),
        "may_view_stats": _may_view_stats(request),
    }
    if _may_view_stats(request):
        stats, query = load_dashboard_stats(days), f"first={days.first}&last={days.last}"
        may = request.user.has_perm
        context |= {
            "tiles": [*_tiles(stats.daily_stats), *(_money_tiles(stats.money) if may("dashboard.view_money") else [])],
            "tables": [table for table in build_tables(stats) if may(table.permission)],
            "charts": [_chart_context(code, stats, query) for code in CHARTS if may(charts.chart_permission(code))],
            "query": query,
            "workers": [(worker, workers.is_offline(worker)) for worker in workers.recent_workers()],
            "retrying_packs": live_stats.list_retrying(_MAX_FAILURES),
            "max_consecutive_failures": MAX_CONSECUTIVE_FAILURES,
            "last_failures": live_stats.last_failures(_MAX_FAILURES),
        }
    return TemplateResponse(request, "dashboard/index.html", context)


@require_safe
def health_checks(request: HttpRequest) -> HttpResponse:
    """Render only the health checks, which the dashboard refreshes regularly."""
    return render(request, "dashboard/_health_checks.html", {"health_checks": run_health_checks()})


@require_safe
def chart(request: HttpRequest, code: str) -> HttpResponse:
    """Serve a chart as SVG. Answers 404 for unknown charts and themes (?theme=dark or light)."""
    theme = charts.THEMES.get(request.GET.get("theme", "light"))
    if theme is None or code not in CHARTS:
        raise Http404
    days = _days(request, charts.chart_permission(code))
    return HttpResponse(
        charts.draw_chart(charts.build_chart(code, load_dashboard_stats(days)), theme), content_type="image/svg+xml"
    )


@require_safe
def table_csv(request: HttpRequest, code: str) -> HttpResponse:
    """Serve a table as a CSV file. Answers 403 without the table's permission, and 404 for unknown tables."""
    days = _days(request, "dashboard.view_stats")
    table = next((each for each in build_tables(load_dashboard_stats(days)) if each.code == code), None)
    if table is None:
        raise Http404
    if not request.user.has_perm(table.permission):
        raise PermissionDenied
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    name = f"headshots-{code}-{days.first}-{days.last}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    writer = csv_files.writer(response)
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return response


def _days(request: HttpRequest, permission: str) -> Range:
    """Return the range from the query string. Raises PermissionDenied, and Http404 for an invalid range."""
    if not request.user.has_perm(permission):
        raise PermissionDenied
    chosen = RangeForm(request.GET).selected_range()
    if chosen is None:
        raise Http404
    return chosen


def _may_view_stats(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("dashboard.view_stats"))


def _chart_context(code: str, stats: DashboardStats, query: str) -> dict[str, str]:
    address = f"{reverse('admin:chart', args=[code])}?{query}"
    return {"code": code, "title": charts.build_chart(code, stats).title, "url": address}


def _tiles(daily_stats: DailyStats) -> list[tuple[str, object, str]]:
    """Return the key figures at the top of the dashboard, as (title, number, unit)."""
    total = daily_stats.total
    return [
        ("Uploads", total["uploads"], ""),
        ("Free packs delivered", total["delivered|preview"], ""),
        ("Premium packs ordered", total["ordered|premium"], ""),
        ("Premium packs delivered", total["delivered|premium"], ""),
        ("Premium delivery time, median", _minutes(daily_stats.delivery_seconds("premium", 50)), "min"),
        (
            "Premium delivery time, p95",
            _minutes(daily_stats.delivery_seconds("premium", 95)),
            "min",
        ),
    ]


def _money_tiles(money: Sequence[RevenueTotals]) -> list[tuple[str, object, str]]:
    """Return one tile per currency with the revenue after refunds and disputes.

    Test payments are shown only if there is no real money, and are labeled as such."""
    return [
        (
            "Net revenue" if totals.mode == Payment.Mode.LIVE else f"Net revenue, {MODES[totals.mode]}",
            totals.price(*NET),
            f"of {totals.price(*REVENUE)}",
        )
        for totals in money
        if totals.mode == money[0].mode
    ]


def _minutes(seconds: int | None) -> float | None:
    return None if seconds is None else round(seconds / 60, 1)
