from django.apps import AppConfig


class VaultConfig(AppConfig):
    name = "headshots.vault"

    def ready(self) -> None:
        from headshots.vault import checks  # noqa: F401  registers the system checks
