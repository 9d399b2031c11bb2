from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "headshots.accounts"
    label = "accounts"
