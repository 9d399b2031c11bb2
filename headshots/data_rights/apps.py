from django.apps import AppConfig


class RightsConfig(AppConfig):
    name = "headshots.data_rights"
    label = "rights"
