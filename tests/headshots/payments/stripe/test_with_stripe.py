"""The whole purchase at Stripe itself, for whoever has a key of its test mode; without one against a Stripe on this
machine, which shows that the program works, not that Stripe does what it expects."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.conf import settings as product

from tests.helpers.fake_stripe import FakeStripe, Refused, running
from tests.helpers.processes import environment_for, run_program

KEY = os.environ.get("HEADSHOTS_TEST_STRIPE_KEY", "")
PROGRAM = "tests.headshots.payments.stripe.with_stripe"

Body = dict[str, Any]


class WithPaymentPages(FakeStripe):
    """With what the program asks for beside the product."""

    def answer(self, method: str, path: str, pairs: list[tuple[str, str]], key: str | None) -> Body:
        asked = dict(pairs)
        with self.lock:
            if (method, path) == ("GET", "/v1/account"):
                return {"id": "acct_1", "object": "account", "default_currency": "usd"}
            if (method, path) == ("POST", "/v1/payment_methods"):
                return {"id": "pm_1", "object": "payment_method"}
            if found := re.fullmatch(r"/v1/payment_pages/(\w+)(/confirm)?", path):
                return self._confirm(found[1], asked) if found[2] else {"id": "ppage_1", "object": "payment_page"}
            if found := re.fullmatch(r"/v1/payment_intents/(\w+)", path):
                return {"id": found[1], "object": "payment_intent", "latest_charge": self._charge(found[1])["id"]}
            if found := re.fullmatch(r"/v1/charges/(\w+)", path):
                (charge,) = [each for each in self.charges.values() if each["id"] == found[1]]
                return charge | {"balance_transaction": f"txn_{charge['id']}"}
            if found := re.fullmatch(r"/v1/balance_transactions/txn_(\w+)", path):
                (moved,) = [each for each in self.charges.values() if each["id"] == found[1]] or [
                    {"amount": -self.refunds[found[1]]["amount"]}
                ]
                return {"id": f"txn_{found[1]}", "object": "balance_transaction", "amount": moved["amount"]}
        answer = super().answer(method, path, pairs, key)
        if (method, path) == ("GET", "/v1/refunds"):
            answer["data"] = [each | {"balance_transaction": f"txn_{each['id']}"} for each in answer["data"]]
        return answer

    def _confirm(self, session_id: str, asked: Body) -> Body:
        if int(asked["expected_amount"]) != self.sessions[session_id]["amount_total"]:
            raise Refused("checkout_amount_mismatch", "The amount has changed.")
        self.pay(session_id)
        return {"id": "ppage_1", "object": "payment_page"}


def test_the_program_of_a_purchase_at_stripe_goes_from_the_order_to_the_refund(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for stripe in running(WithPaymentPages()):
        environment = environment_for("sqlite", tmp_path, request) | {"HEADSHOTS_STRIPE_API_URL": stripe.url}

        seen = run_program(PROGRAM, environment)

        assert (seen["paid"], seen["currency"]) == (1900, "usd")
        assert stripe.balance == 0
        assert len(stripe.sessions) == len(stripe.refunds) == 2


@pytest.mark.parametrize("key", ["sk_live_0123456789", "rk_live_0123456789", "", "pk_test_0123456789"])
def test_it_takes_no_key_that_moves_money(settings: LazySettings, key: str) -> None:
    from tests.headshots.payments.stripe import with_stripe

    settings.HEADSHOTS_STRIPE_SECRET_KEY = key

    with pytest.raises(SystemExit, match="Only a key of Stripe's test mode"):
        with_stripe.refuse_real_money()


def test_with_a_key_that_moves_money_the_program_ends_at_once(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    environment = environment_for("sqlite", tmp_path, request) | {"HEADSHOTS_STRIPE_SECRET_KEY": "sk_live_0123456789"}

    done = subprocess.run(
        [sys.executable, "-m", PROGRAM], cwd=product.BASE_DIR, env=environment, capture_output=True, text=True
    )

    assert done.returncode == 1
    assert "Only a key of Stripe's test mode" in done.stderr


@pytest.mark.skipif(not KEY, reason="HEADSHOTS_TEST_STRIPE_KEY names no key of Stripe's test mode (sk_test_...)")
def test_stripe_itself_takes_the_order_the_card_and_the_refund(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    environment = environment_for("sqlite", tmp_path, request) | {"HEADSHOTS_STRIPE_SECRET_KEY": KEY}

    seen = run_program(PROGRAM, environment)

    assert seen["paid"] > 0
    # The session completed, two refunds, the session closed.
    assert seen["events"] >= 4
