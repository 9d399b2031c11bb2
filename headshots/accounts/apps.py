from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "headshots.accounts"
    label = "accounts"
    # The admin already has an app named "Accounts", which is allauth's.
    verbose_name = "People"
