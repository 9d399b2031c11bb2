from django.apps import AppConfig


class RetentionConfig(AppConfig):
    name = "headshots.retention"
    label = "retention"

    def ready(self) -> None:
        from headshots.retention import checks  # noqa: F401  registers the system checks
