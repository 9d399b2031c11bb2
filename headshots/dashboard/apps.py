from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = "headshots.dashboard"
    label = "dashboard"
