"""Make the operator's site Django's default admin site."""

from django.contrib.admin.apps import AdminConfig


class OperatorAdminConfig(AdminConfig):
    """The admin app with the operator's site, whose first page is the dashboard."""

    default_site = "headshots.dashboard.site.OperatorSite"
