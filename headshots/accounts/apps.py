from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "headshots.accounts"
    label = "accounts"
    # allauth has "Accounts" in the admin already.
    verbose_name = "People"
