from django.apps import AppConfig


class PagesConfig(AppConfig):
    name = "headshots.pages"
    label = "pages"
