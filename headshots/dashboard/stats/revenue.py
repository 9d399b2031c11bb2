"""Revenue and refunds, out of what was counted in the ledger."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from headshots.dashboard.stats.aggregation import split
from headshots.dashboard.stats.daily_stats import Figures
from headshots.payments.models import LedgerEntry, Payment
from headshots.payments.prices import format_money, minor_unit_digits

_Kind = LedgerEntry.Kind

REVENUE = (_Kind.CHARGE.value,)
REFUNDS = (_Kind.REFUND.value, _Kind.REFUND_FAILED.value)
DISPUTES = (_Kind.DISPUTE.value, _Kind.DISPUTE_WON.value)
EVERYTHING = (*REVENUE, *REFUNDS, *DISPUTES)
# What a mode means, where a figure is shown without the others.
MODES: dict[str, str] = {
    Payment.Mode.LIVE.value: "real money",
    Payment.Mode.TEST.value: "Stripe's test mode",
    Payment.Mode.LOCAL.value: "test checkout, no money",
}


@dataclass(frozen=True)
class Purse:
    """What came and went in one mode and currency. Amounts in its smallest unit, refunds below zero."""

    figures: Figures
    mode: str
    currency: str

    def count(self, *kinds: str) -> int:
        return sum(self.figures.total[self._key("movements", kind)] for kind in kinds)

    def amount(self, *kinds: str) -> int:
        return sum(self.figures.total[self._key("money", kind)] for kind in kinds)

    def series(self, *kinds: str) -> list[float]:
        """On each day, in the currency's own unit."""
        unit = 10 ** minor_unit_digits(self.currency)
        by_kind = [self.figures.series(self._key("money", kind)) for kind in kinds]
        return [sum(amounts) / unit for amounts in zip(*by_kind, strict=True)]

    def written(self, *kinds: str) -> str:
        """With as many digits as the currency has: "19.00"."""
        digits = minor_unit_digits(self.currency)
        return f"{self.amount(*kinds) / 10**digits:.{digits}f}"

    def price(self, *kinds: str) -> str:
        """As people write it: "$19"."""
        return format_money(self.amount(*kinds), self.currency)

    def _key(self, name: str, kind: str) -> str:
        return f"{name}|{self.mode}|{self.currency}|{kind}"


def purses(figures: Figures) -> list[Purse]:
    """One a mode and currency, real money first (what a test checkout took is no revenue), then the most used."""
    used: Counter[tuple[str, str]] = Counter()
    for key, count in split(figures.total, "movements").items():
        mode, currency, _kind = key.split("|")
        used[mode, currency] += count
    order = sorted(used, key=lambda where: (where[0] != Payment.Mode.LIVE, -used[where], where))
    return [Purse(figures, mode, currency) for mode, currency in order]


def count_payments(money: Sequence[Purse]) -> int:
    """In all currencies. Those of a test checkout only where there were no real ones."""
    return sum(purse.count(*REVENUE) for purse in money if purse.mode == money[0].mode)
