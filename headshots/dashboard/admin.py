"""The audit log and what is known of workers, to look at."""

from allauth.mfa.models import Authenticator
from django.contrib import admin

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
