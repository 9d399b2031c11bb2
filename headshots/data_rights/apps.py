from django.apps import AppConfig


class DataRightsConfig(AppConfig):
    name = "headshots.data_rights"
    label = "data_rights"
