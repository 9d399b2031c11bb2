from django.apps import AppConfig


class RightsConfig(AppConfig):
    name = "headshots.rights"
    label = "rights"
