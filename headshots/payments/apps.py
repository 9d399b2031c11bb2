from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "headshots.payments"
    label = "payments"

    def ready(self) -> None:
        from headshots.payments import checks  # noqa: F401  registers the system checks
        from headshots.payments.credits import count_open_credits
        from headshots.shoots import uploads

        uploads.allowances.append(count_open_credits)
