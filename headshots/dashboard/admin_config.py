"""Make the operator's site Django's default admin site."""

from django.contrib.admin.apps import AdminConfig


class OperatorAdminConfig(AdminConfig):
    """Django's admin with the operator's page in front."""

    default_site = "headshots.dashboard.site.OperatorSite"
