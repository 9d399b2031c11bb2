"""The audit log and what is known of workers, to look at."""

from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.admin.models import LogEntry

from headshots.accounts.read_only import ReadOnlyAdmin
from headshots.dashboard.models import Deed

# Its rows hold the secrets of second factors.
admin.site.unregister(Authenticator)


@admin.register(Deed)
class DeedAdmin(ReadOnlyAdmin):
    """Who did what, when and why."""

    list_display = ["at", "who", "action", "subject", "subject_id", "reason"]
    list_filter = ["action", "at"]
    search_fields = ["subject_id", "shoot_id"]
    date_hierarchy = "at"


@admin.register(LogEntry)
class EditAdmin(ReadOnlyAdmin):
    """What was changed in forms and lists instead of by an action: roles of staff, looks on offer and their order."""

    list_display = ["action_time", "who", "content_type", "object_id", "get_change_message"]
    list_filter = ["action_time", "content_type"]
    fields = ["action_time", "who", "content_type", "object_id", "get_change_message"]
    date_hierarchy = "action_time"
    list_select_related = ["content_type"]

    @admin.display(description="who", ordering="user_id")
    def who(self, entry: LogEntry) -> int:
        """The account's number, as in the audit log."""
        return entry.user_id
