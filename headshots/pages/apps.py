from django.apps import AppConfig


class PagesConfig(AppConfig):
    name = "headshots.pages"
    label = "pages"

    def ready(self) -> None:
        from headshots.pages import checks  # noqa: F401  registers the system checks
