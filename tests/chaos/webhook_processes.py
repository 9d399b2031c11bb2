"""A program of the tests: the webhook's handler in many processes that are killed, or that come at once.

    python -m tests.chaos.webhook_processes [--full]

Runs on the database that the environment names, and prints what it saw as JSON."""

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from headshots.accounts.models import User
from headshots.payments.accounting.webhooks import receive_webhook
from headshots.payments.models import Credit, WebhookEvent
from headshots.payments.reconciliation import reconcile
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Event, Pack
from headshots.shoots.packs.recovery import _stuck_packs
from tests.chaos.forks import at_once, ended, in_process
from tests.helpers.fake_stripe import signed
from tests.helpers.purchases import Body, Purchase

PROCESSES = 8
FULL = "--full" in sys.argv


def deliver(event: Body) -> None:
    payload, signature = signed(event)
    receive_webhook(payload=payload, signature=signature)


@contextmanager
def killed_at(statement: int) -> Iterator[None]:
    """Dies by kill -9 just before the statement of this number; counts what is sent to the database, commits too."""
    count = 0

    def one_more(*_: object) -> None:
        nonlocal count
        if count == statement:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    def watch(execute: Any, sql: str, params: object, many: bool, context: object) -> object:
        one_more()
        return execute(sql, params, many, context)

    connection.ensure_connection()
    commit, run_hooks = connection._commit, connection.run_and_clear_commit_hooks

    def watched_commit() -> None:
        one_more()
        commit()

    def watched_hooks() -> None:
        # Between the commit and the messages to the workers.
        one_more()
        run_hooks()

    connection._commit = watched_commit
    connection.run_and_clear_commit_hooks = watched_hooks
    with connection.execute_wrapper(watch):
        yield


def crash() -> Body:
    """For each event: the process dies before the first statement, before the second, ... until one survives."""
    seen: Body = {}
    number = 0
    for name, prepare, right in EVENTS if FULL else EVENTS[:1]:
        for statement in range(200):
            number += 1
            purchase = Purchase(number, BUYER)
            before, event = prepare(purchase)
            for each in before:
                deliver(each)
            was, was_ledger = purchase.state(), purchase.ledger()

            def die(event: Body = event, statement: int = statement) -> None:
                with killed_at(statement):
                    deliver(event)

            survived = ended(in_process(die)) == 0
            known = WebhookEvent.objects.filter(event_id=event["id"]).exists()
            now, now_ledger = purchase.state(), purchase.ledger()
            # All of it or nothing of it.
            assert (now, now_ledger) == ((right, purchase.stripe.balance) if known else (was, was_ledger)), (
                name,
                statement,
            )
            assert ended(in_process(lambda event=event: deliver(event))) == 0
            assert purchase.state() == right, (name, statement, purchase.state())
            assert purchase.ledger() == purchase.stripe.balance, (name, statement)
            found_by_beat(purchase)
            if survived:
                seen[name] = statement
                break
    return seen


def found_by_beat(purchase: Purchase) -> None:
    """A pack that is queued while nobody was told is woken by beat."""
    assert purchase.payment.pack is not None
    pack = Pack.objects.get(pk=purchase.payment.pack.pk)
    if pack.state == Pack.State.QUEUED:
        Pack.objects.filter(pk=pack.pk).update(queued_at=timezone.now() - timedelta(minutes=1))
        assert _stuck_packs().filter(pk=pack.pk).exists()


def delivered(purchase: Purchase) -> tuple[list[Body], Body]:
    return [], purchase.bought


def expired(purchase: Purchase) -> tuple[list[Body], Body]:
    purchase.stripe.balance = 0
    session = purchase.stripe.sessions[purchase.session] | {"status": "expired", "payment_status": "unpaid"}
    return [], purchase.stripe.send_event("checkout.session.expired", session)


def refunded(purchase: Purchase) -> tuple[list[Body], Body]:
    purchase.stripe.refund(purchase.intent)
    return [purchase.bought], purchase.stripe.events[1]


def disputed(purchase: Purchase) -> tuple[list[Body], Body]:
    purchase.stripe.dispute(purchase.intent)
    return [purchase.bought], purchase.stripe.events[1]


def overtaken(purchase: Purchase) -> tuple[list[Body], Body]:
    """The refund was heard of before the payment."""
    purchase.stripe.refund(purchase.intent)
    return [purchase.stripe.events[1]], purchase.bought


EVENTS: list[tuple[str, Callable[[Purchase], tuple[list[Body], Body]], tuple[str, str | None, str]]] = [
    ("paid", delivered, ("paid", "used", "queued")),
    ("paid after its refund", overtaken, ("refunded", "refunded", "revoked")),
    ("expired", expired, ("expired", None, "cancelled")),
    ("refunded", refunded, ("refunded", "refunded", "revoked")),
    ("disputed", disputed, ("disputed", "revoked", "revoked")),
]


def race() -> Body:
    """Everything that Stripe ever says about a pack, at once and several times, from several processes."""
    rounds, failed = 12 if FULL else 3, 0
    for number in range(rounds):
        purchase = Purchase(10_000 + number, BUYER)
        if number % 3 == 1:
            purchase.stripe.refund(purchase.intent)
        if number % 3 == 2:
            dispute = purchase.stripe.dispute(purchase.intent)
            purchase.stripe.close_dispute(dispute["id"], won=True)
        events = purchase.stripe.events

        def all_of_them(events: list[Body] = events, start: int = 0) -> None:
            for turn in range(len(events)):
                deliver_until_taken(events[(start + turn) % len(events)])

        failed += at_once([lambda start=start, run=all_of_them: run(start=start) for start in range(PROCESSES)])
        # What was stored while the payment's transaction was open.
        reconcile()
        check(purchase, number)
    return {"rounds": rounds, "failed": failed, "unseen": heard_of_while_paid(), **one_credit_for_many()}


def heard_of_while_paid() -> str:
    """How a dispute stands that was heard of while its payment was being written down, before beat came by. SQLite lets
    nobody write meanwhile, so there it cannot be."""
    if connection.vendor == "sqlite":
        return "cannot be"
    purchase = Purchase(15_000, BUYER)
    purchase.stripe.dispute(purchase.intent)
    disputed = [event for event in purchase.stripe.events if event["type"].startswith("charge.dispute.")]

    def deliver_one() -> None:
        for event in disputed:
            deliver(event)
        connection.close()

    with ThreadPoolExecutor(1) as other, transaction.atomic():
        deliver(purchase.bought)
        other.submit(deliver_one).result()
    about = WebhookEvent.objects.filter(event_id__in=[event["id"] for event in disputed])
    assert purchase.state() == ("paid", "used", "queued")
    before = set(about.values_list("outcome", flat=True))
    reconcile()
    assert set(about.values_list("outcome", flat=True)) == {"done"}
    assert purchase.state() == ("disputed", "revoked", "revoked")
    assert purchase.ledger() == purchase.stripe.balance
    return "".join(before)


def deliver_until_taken(event: Body) -> None:
    """As Stripe: what was not taken comes again."""
    from django.db import OperationalError

    for _ in range(20):
        try:
            return deliver(event)
        except OperationalError:
            connection.close()
            time.sleep(0.05)
    raise AssertionError("never taken")


def check(purchase: Purchase, number: int) -> None:
    right = {0: ("paid", "used", "queued"), 1: ("refunded", "refunded", "revoked")}.get(number % 3)
    state = purchase.state()
    if right:
        assert state == right, state
    else:
        # Won: the pack goes on if the dispute was over before the payment was heard of, else its right is open.
        assert state in {("paid", "open", "revoked"), ("paid", "used", "queued")}, state
    assert purchase.ledger() == purchase.stripe.balance
    assert Credit.objects.filter(payment=purchase.payment).count() == 1
    queued = Event.objects.filter(pack_id=purchase.payment.pack_id, name="pack.queued").count()
    assert queued <= 1


def one_credit_for_many() -> Body:
    """One open credit, seven packs that want it, and the person who wants the money: one of them has it."""
    from headshots.payments.accounting.credits import requeue_pack
    from headshots.payments.accounting.refunds import refund_credit

    winners = []
    for number in range(8 if FULL else 2):
        # Somebody who has no other credit.
        buyer = User.objects.create_user(f"buyer-{number}@example.org", "a long enough pass phrase")
        purchase = Purchase(20_000 + number, buyer)
        deliver(purchase.bought)
        assert purchase.payment.pack is not None
        advance(purchase.payment.pack, Pack.State.CANCELLED)
        Credit.objects.filter(payment=purchase.payment).update(state="open", pack=None)
        credit = Credit.objects.get(payment=purchase.payment)
        packs = [failed_pack(30_000 + number * 10 + each, buyer) for each in range(PROCESSES - 1)]
        works = [lambda pack=pack: requeue_pack(pack=pack) for pack in packs]
        works.insert(number % PROCESSES, lambda credit=credit: refund_credit(credit=credit, reason="person"))
        at_once(works)
        credit.refresh_from_db()
        queued = Pack.objects.filter(pk__in=[pack.pk for pack in packs], state="queued").count()
        assert (queued, credit.state) in {(1, "used"), (0, "refunded")}, (queued, credit.state)
        winners.append(credit.state)
    return {"winners": winners}


def failed_pack(number: int, owner: User) -> Pack:
    """A pack that only waits for a credit to be tried again."""
    pack = Purchase(number, owner).payment.pack
    assert pack is not None
    pack.state = Pack.State.FAILED
    pack.save(update_fields=["state"])
    return pack


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    BUYER = User.objects.create_user("buyer@example.org", "a long enough pass phrase")
    # What is there already is not looked at by the children's garbage collectors, and so never copied.
    gc.freeze()
    gc.disable()
    print(json.dumps({"crash": crash(), "race": race()}))
