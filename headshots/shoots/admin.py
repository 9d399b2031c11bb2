"""Admin pages of shoots: facts and states, never pictures, blobs or measurements."""

from django.contrib import admin
from django.db.models import Model, Prefetch, QuerySet
from django.http import HttpRequest

from headshots.accounts.admin_mixins import AccountListAdmin, ReadOnlyAdmin
from headshots.shoots.looks.admin import StyleAdmin as StyleAdmin
from headshots.shoots.models import Consent, Event, Headshot, Pack, Photo, Shoot


@admin.register(Shoot)
class ShootAdmin(AccountListAdmin, ReadOnlyAdmin):
    list_display = ["short_id", "account", "state", "created_at", "delete_after", "purged_at"]
    list_filter = ["state", "created_at"]
    search_fields = ["id"]
    search_help_text = "Shoot ID, or account: “account 2”, or the email if you can view accounts."
    fields = ["id", "owner", "state", "purge_everything", "keep_photos", "created_at", "delete_after", "purged_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Shoot]:
        """Prefetch the trial packs of the rows that are shown, in one query."""
        trials = Prefetch("packs", Pack.objects.filter(kind=Pack.Kind.TRIAL), to_attr="trials")
        shoots: QuerySet[Shoot] = super().get_queryset(request).prefetch_related(trials)
        return shoots

    def account_number(self, row: Model) -> str:
        return "none (look trial)" if getattr(row, "trials", ()) else super().account_number(row)


@admin.register(Consent)
class ConsentAdmin(ReadOnlyAdmin):
    list_display = ["shoot", "consent_version", "is_me_version", "given_at", "withdrawn_at"]


@admin.register(Photo)
class PhotoAdmin(ReadOnlyAdmin):
    list_display = ["short_id", "shoot", "state", "reasons", "checks"]
    list_filter = ["state"]
    fields = ["id", "shoot", "position", "state", "reasons", "checks"]


@admin.register(Pack)
class PackAdmin(AccountListAdmin, ReadOnlyAdmin):
    list_display = [
        "short_id", "account", "kind", "state", "reason", "engine", "total", "missing", "reshoots", "created_at",
        "delivered_at",
    ]  # fmt: skip
    owner_path = "shoot__owner"
    list_filter = ["kind", "state", "engine"]
    ordering = ["-created_at"]
    search_fields = ["id", "shoot__id"]
    search_help_text = "Pack or shoot ID, or account: “account 2”, or the email if you can view accounts."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pack]:
        """Prefetch the shoots of the rows that are shown. A join would read all shoots before sorting."""
        packs: QuerySet[Pack] = super().get_queryset(request).prefetch_related("shoot")
        return packs


@admin.register(Headshot)
class HeadshotAdmin(ReadOnlyAdmin):
    list_display = ["short_id", "pack", "index", "style", "state", "attempts", "likeness", "reasons", "done_at"]
    list_filter = ["state", "style"]
    # This order uses an index, because there are millions of rows.
    ordering = ["pack_id", "index"]
    exclude = ["blob"]


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ["at", "name", "actor", "shoot_id", "pack_id", "codes", "counts"]
    fields = ["at", "name", "actor", "shoot_id", "pack_id", "codes", "counts"]
    # No filter by name, because every list would then search a million rows for the names that exist.
    list_filter = ["actor", "at"]
    ordering = ["-at", "-id"]
    search_fields = ["shoot_id", "pack_id"]
    search_help_text = "Shoot or pack ID, in full or in part."

    @admin.display(description="numbers")
    def counts(self, event: Event) -> str:
        """Return the numbers as text, without amounts of money, which are only for readers of the ledger."""
        return ", ".join(f"{name} {number}" for name, number in event.numbers.items() if name != "amount")
