from django.apps import AppConfig


class ShootsConfig(AppConfig):
    name = "headshots.shoots"
    label = "shoots"
