"""Reason codes: one list of each, and templates that compare with nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.template import Context, Template

from headshots.engine import Reason as GateReason
from headshots.payments.checkout.orders import _REFUSAL_CODES
from headshots.payments.errors import Refusal
from headshots.payments.models import Credit
from headshots.shoots.models import Pack
from headshots.shoots.packs.orders import CannotOrder

TEMPLATES = Path(__file__).parents[2] / "templates"


def occurrences(pattern: str) -> Iterator[tuple[str, str]]:
    """Every match in a template: the template's name, and what the pattern's group found."""
    for path in sorted(TEMPLATES.rglob("*.*")):
        for found in re.findall(pattern, path.read_text()):
            yield path.name, found


def test_what_is_stored_of_a_packs_end_stays_as_it_is() -> None:
    assert set(Pack.Reason.values) == {
        "storage_failed",
        "engine_broken",
        "engine_failed",
        "not_paid",
        "refunded",
        "revoked",
        "on_request",
        "incomplete",
        "staff",
        "account_deleted",
        "photos_deleted",
        "photos_lost",
        "used_after_delivery",
    }


def test_templates_name_only_reasons_that_there_are() -> None:
    found = list(occurrences(r"\bReason\.(\w+)"))

    assert {name for name, _ in found} == {"_pack.html", "available.txt"}
    assert {code for _, code in found} <= set(Pack.Reason.names)


def test_every_refusal_that_the_order_page_can_show_has_words_of_its_own() -> None:
    found = list(occurrences(r"\bRefusal\.(\w+)"))
    in_the_rest = {Refusal.UPLOADS_PAUSED, Refusal.STRIPE_UNAVAILABLE}  # on the page of prices; the words that are left

    assert {name for name, _ in found} == {"_refusal.html", "order.html"}
    assert {code for _, code in found} == {refusal.name for refusal in set(Refusal) - in_the_rest}
    assert not list(occurrences(r'(refusal [!=]= ")'))


def test_whatever_a_shoot_refuses_an_order_for_has_a_refusal_that_people_see() -> None:
    assert set(_REFUSAL_CODES) == set(CannotOrder.Reason)


def test_what_is_stored_of_a_grant_stays_as_it_is() -> None:
    assert Credit.GrantReason.values == ["goodwill", "support", "test", "press"]


def test_templates_compare_a_packs_reason_with_a_bare_word_only_where_it_is_the_gates() -> None:
    found = [code for _, code in occurrences(r'(?:pack\.reason|return_reason) [!=]= "(\w+)"')]

    assert found
    assert set(found) <= {reason.value for reason in GateReason}


@pytest.mark.parametrize("reason", list(Pack.Reason))
def test_a_template_finds_a_reason_that_was_stored(reason: Pack.Reason) -> None:
    template = Template("{% if stored == Reason." + reason.name + " %}yes{% endif %}")

    assert template.render(Context({"stored": reason.value, "Reason": Pack.Reason})) == "yes"
