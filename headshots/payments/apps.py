"""Set up payments: system checks, uploads that a paid pack allows, events of the local Stripe."""

from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "headshots.payments"
    label = "payments"

    def ready(self) -> None:
        from headshots.payments import checks  # noqa: F401  registers the system checks
        from headshots.payments.accounting.credits import count_open_credits
        from headshots.payments.accounting.webhooks import receive_webhook
        from headshots.payments.stripe import local
        from headshots.shoots.uploads import new_shoot

        new_shoot.allowances.append(count_open_credits)
        local.webhook_endpoints.append(receive_webhook)
