"""What staff can do, when somebody else was quicker: for every action a state that has changed since the question, and
two clicks at the same moment."""

import threading
from collections.abc import Callable

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.db import connection
from django.test import Client
from django.utils import timezone

from headshots.accounts.models import User
from headshots.dashboard.actions.registry import ACTIONS
from headshots.dashboard.models import AuditLogEntry
from headshots.dashboard.reports.cases import close_report
from headshots.payments.accounting.credits import grant_credit
from headshots.payments.accounting.refunds import request_refund
from headshots.payments.models import Credit, Payment, Refund
from headshots.retention.models import DeletionCertificate
from headshots.shoots import pauses, support_access
from headshots.shoots.lifecycle import advance, begin_purge
from headshots.shoots.looks import versions
from headshots.shoots.models import Pack, Pause, StyleVersion
from headshots.shoots.packs import recovery
from tests.headshots.dashboard.actions.targets import TARGETS
from tests.helpers.staff import address, client_of, hidden, more

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine", "stripes_test_mode")]


def published_elsewhere(version: StyleVersion) -> None:
    """Another version is on offer than when the question was asked."""
    look = versions.LookContent("Quicker", "", version.recipe)
    versions.publish(version=versions.save_draft(style=version.style, look=look, created_by=2))


def confirmed(account: User) -> None:
    EmailAddress.objects.update_or_create(user=account, email=account.email, defaults={"verified": True})


def delivered(pack: Pack) -> None:
    advance(pack, Pack.State.RENDERING)
    advance(pack, Pack.State.DELIVERED)


# What somebody else does between page and click.
MEANWHILE: dict[str, Callable[..., object]] = {
    "retry-pack": lambda pack: recovery.retry_pack(pack=pack),
    "cancel-pack": delivered,
    "purge-photos": begin_purge,
    "purge-everything": lambda shoot: begin_purge(shoot, everything=True),
    "block-account": lambda account: User.objects.filter(pk=account.pk).update(is_active=False),
    "unblock-account": lambda account: User.objects.filter(pk=account.pk).update(is_active=True),
    "confirm-adult": lambda account: User.objects.filter(pk=account.pk).update(is_confirmed_adult=True),
    "resend-confirmation": confirmed,
    "reset-second-factor": lambda account: Authenticator.objects.filter(user=account).delete(),
    "refund": lambda payment: request_refund(payment=payment, amount=100, reason=Refund.Reason.PERSON),
    "grant-credits": lambda account: grant_credit(owner=account, reason="support"),
    "grant-pack": begin_purge,
    "resend-certificate": lambda certificate: DeletionCertificate.objects.filter(pk=certificate.pk).update(
        mailed_at=timezone.now()
    ),
    "resend-delivery-mail": lambda pack: Pack.objects.filter(pk=pack.pk).update(mail_due=True),
    "resend-credit-mail": lambda credit: Credit.objects.filter(pk=credit.pk).update(state=Credit.State.USED),
    "view-headshots": lambda shoot: support_access.end(shoot=shoot),
    "publish-look": lambda version: versions.publish(version=version),
    "restore-look": published_elsewhere,
    "close-report": lambda report: close_report(report=report, outcome="spam"),
    "pause": pauses.pause,
    "resume": pauses.resume,
}


# A second confirmation mail says the same as the first; each member of staff looks for themselves.
HARMLESS_TWICE = {"resend-confirmation", "view-headshots"}


def counts() -> list[int]:
    """Rows of everything that an action makes."""
    made = (AuditLogEntry, Credit, Refund, Pack, StyleVersion, Authenticator, Pause, Payment)
    return [model.objects.count() for model in made]


def test_every_action_has_something_that_can_happen_meanwhile() -> None:
    assert set(MEANWHILE) == set(ACTIONS)


@pytest.mark.parametrize("code", MEANWHILE)
def test_what_has_changed_between_page_and_click_is_not_done(code: str) -> None:
    target, owner = TARGETS[code](), client_of("owner")
    answers = hidden(owner.get(address(code, target)).content.decode()) | {"reason": "because"} | more(code)
    MEANWHILE[code](target)
    action = ACTIONS[code]
    target_id = str(getattr(target, "pk", target))
    before, rows = action.state_of(action.load(target_id)), counts()

    response = owner.post(address(code, target), answers)

    assert response.status_code == 409
    assert 'class="messagelist"' in response.content.decode()
    assert ' value="because"' in response.content.decode() or action.blocked_reason(action.load(target_id)), (
        "still typed"
    )
    assert action.state_of(action.load(target_id)) == before
    assert counts() == rows
    assert not AuditLogEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("code", TARGETS)
def test_two_clicks_at_the_same_moment_do_it_once(code: str) -> None:
    target, owner = TARGETS[code](), client_of("owner")
    answers = hidden(owner.get(address(code, target)).content.decode()) | {"reason": "because"} | more(code)

    statuses = at_once(lambda: owner.post(address(code, target), answers).status_code)

    assert statuses == [302, 302], "the second is told that it was done"
    assert AuditLogEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("code", sorted(set(TARGETS) - HARMLESS_TWICE))
def test_of_two_members_of_staff_at_the_same_moment_one_does_it(code: str) -> None:
    target = TARGETS[code]()
    clients = [client_of("owner"), client_of("owner")]
    answers = [
        hidden(each.get(address(code, target)).content.decode()) | {"reason": "because"} | more(code)
        for each in clients
    ]

    clicks = iter(zip(clients, answers, strict=True))
    statuses = at_once(lambda: post(code, target, *next(clicks)))

    assert statuses == [302, 409]
    assert AuditLogEntry.objects.count() == 1


def post(code: str, target: object, client: Client, answer: dict[str, object]) -> int:
    return client.post(address(code, target), answer).status_code


def at_once(click: Callable[[], int]) -> list[int]:
    """What two clicks in two threads are answered with, the smaller first."""
    statuses: list[int] = []
    ready = threading.Barrier(2)

    def run() -> None:
        try:
            ready.wait(10)
            statuses.append(click())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    return sorted(statuses)
