"""Lines of the operator for the imprint and the order page. HEADSHOTS_OPERATOR_<NAME OF THE LINE> sets each of them."""

from collections.abc import Callable
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class OperatorDetails:
    """What the operator says in their own words. Empty lines are not shown.

    Attributes:
        register: register and number, VAT number.
        disputes: where to complain, and whether the operator takes part in dispute resolution.
        tax_note: what prices say about tax, such as "including 19% VAT"."""

    address: str = ""
    country: str = ""
    register: str = ""
    disputes: str = ""
    tax_note: str = ""


def read_operator_details(read_text: Callable[[str], str]) -> OperatorDetails:
    """Return the lines that the environment sets.

    read_text: reads one environment variable, "" if it is not set."""
    names = [field.name for field in fields(OperatorDetails)]
    return OperatorDetails(**{name: read_text(f"HEADSHOTS_OPERATOR_{name.upper()}").strip() for name in names})
