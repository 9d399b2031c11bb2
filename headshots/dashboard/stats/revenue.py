"""Revenue and refunds by mode and currency, from aggregated ledger entries."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from headshots.dashboard.stats.aggregation import split
from headshots.dashboard.stats.daily_stats import DailyStats
from headshots.payments.models import LedgerEntry, Payment
from headshots.payments.prices import format_money, minor_unit_digits

_Kind = LedgerEntry.Kind

REVENUE = (_Kind.CHARGE.value,)
REFUNDS = (_Kind.REFUND.value, _Kind.REFUND_FAILED.value)
DISPUTES = (_Kind.DISPUTE.value, _Kind.DISPUTE_WON.value)
NET = (*REVENUE, *REFUNDS, *DISPUTES)
# The explanation of each mode that is shown with its amounts.
MODES: dict[str, str] = {
    Payment.Mode.LIVE.value: "real money",
    Payment.Mode.TEST.value: "Stripe test mode",
    Payment.Mode.LOCAL.value: "test checkout without money",
}


@dataclass(frozen=True)
class RevenueTotals:
    """Income and refunds for one mode and currency.

    Amounts are in the currency's smallest unit. Refunds are negative."""

    daily_stats: DailyStats
    mode: str
    currency: str

    def count(self, *kinds: str) -> int:
        return sum(self.daily_stats.total[self._key("ledger_entries", kind)] for kind in kinds)

    def amount(self, *kinds: str) -> int:
        return sum(self.daily_stats.total[self._key("money", kind)] for kind in kinds)

    def series(self, *kinds: str) -> list[float]:
        """Return the amount of these kinds on each day, in the currency's main unit."""
        unit = 10 ** minor_unit_digits(self.currency)
        by_kind = [self.daily_stats.series(self._key("money", kind)) for kind in kinds]
        return [sum(amounts) / unit for amounts in zip(*by_kind, strict=True)]

    def as_decimal(self, *kinds: str) -> str:
        """Return the amount with the decimals of the currency: "19.00"."""
        digits = minor_unit_digits(self.currency)
        return f"{self.amount(*kinds) / 10**digits:.{digits}f}"

    def price(self, *kinds: str) -> str:
        """Return the amount formatted for people: "$19", "19.00 CHF"."""
        return format_money(self.amount(*kinds), self.currency)

    def _key(self, name: str, kind: str) -> str:
        return f"{name}|{self.mode}|{self.currency}|{kind}"


def revenue_totals(daily_stats: DailyStats) -> list[RevenueTotals]:
    """Return the totals of each mode and currency, the most used first.

    Real money precedes all other modes, because payments of a test checkout are not revenue."""
    used: Counter[tuple[str, str]] = Counter()
    for key, count in split(daily_stats.total, "ledger_entries").items():
        mode, currency, _kind = key.split("|")
        used[mode, currency] += count
    order = sorted(used, key=lambda where: (where[0] != Payment.Mode.LIVE, -used[where], where))
    return [RevenueTotals(daily_stats, mode, currency) for mode, currency in order]


def count_payments(money: Sequence[RevenueTotals]) -> int:
    """Return the number of payments in all currencies, in the mode that `money` lists first.

    Test payments count only if there was no real money."""
    return sum(totals.count(*REVENUE) for totals in money if totals.mode == money[0].mode)
