from django.contrib.admin.apps import AdminConfig


class OperatorAdminConfig(AdminConfig):
    """Django's admin with the operator's page in front."""

    default_site = "headshots.dashboard.site.OperatorSite"
