"""What staff can do: by whom, once, and only while it is still what it was. What comes of it stands in
test_actions_on_packs.py and test_actions_on_accounts.py."""

import html
import importlib
import pkgutil
import threading
from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from headshots.accounts.models import User
from headshots.dashboard import actions
from headshots.dashboard.actions.registry import ACTIONS, action_title
from headshots.dashboard.actions.targets import target_label
from headshots.dashboard.models import AuditLogEntry
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Event, Pack, Shoot
from tests.headshots.dashboard.actions.targets import TARGETS, draft_of_a_look, paid_payment
from tests.helpers.factories import make_preview, make_user
from tests.helpers.staff import EVERYBODY, address, client_of, do, hidden, make_staff, more, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine", "stripes_test_mode")]


ALLOWED = {
    "retry-pack": {"owner", "support"},
    "cancel-pack": {"owner", "support"},
    "purge-photos": {"owner", "support"},
    "purge-everything": {"owner", "support"},
    "block-account": {"owner", "support"},
    "unblock-account": {"owner", "support"},
    "confirm-adult": {"owner", "support"},
    "resend-confirmation": {"owner", "support"},
    "reset-second-factor": {"owner"},
    "refund": {"owner", "finance"},
    "grant-credits": {"owner", "support"},
    "grant-pack": {"owner", "support"},
    "resend-certificate": {"owner", "support"},
    "resend-delivery-mail": {"owner", "support"},
    "resend-credit-mail": {"owner", "support"},
    "view-headshots": {"owner", "support"},
    "publish-look": {"owner"},
    "restore-look": {"owner"},
    "close-report": {"owner", "support"},
    "pause": {"owner"},
    "resume": {"owner"},
}


def test_every_action_has_its_test() -> None:
    assert set(TARGETS) == set(ALLOWED) == set(ACTIONS)


def test_the_registry_lists_the_actions_of_every_module() -> None:
    names = sorted(each.name for each in pkgutil.iter_modules(actions.__path__))
    found = [getattr(importlib.import_module(f"{actions.__name__}.{name}"), "ACTIONS", ()) for name in names]

    # The registry's own dictionary has the same name.
    assert {action.code for each in found if each is not ACTIONS for action in each} == set(ACTIONS)


def look_and_answer(client: Client, code: str, target: object, state: str) -> tuple[HttpResponse, HttpResponse]:
    """The question and what comes of its answer, as of somebody who knows the form without being shown it."""
    answers = {"reason": "because", "seen_state": state, "submission": str(uuid4())} | more(code)
    return client.get(address(code, target)), client.post(address(code, target), answers)


def state_of(code: str, target: object) -> str:
    return ACTIONS[code].state_of(ACTIONS[code].load(str(getattr(target, "pk", target))))


@pytest.mark.parametrize(("code", "who"), [(code, who) for code in TARGETS for who in sorted(ALLOWED.get(code, ()))])
def test_an_action_is_done_by_those_who_may(code: str, who: str) -> None:
    target, client = TARGETS[code](), client_of(who)

    question, answer = look_and_answer(client, code, target, state_of(code, target))

    entries = list(AuditLogEntry.objects.values_list("action", "staff_id", "reason"))
    assert question.status_code == 200
    assert answer.status_code == 302
    assert entries == [(code, int(client.session["_auth_user_id"]), "because")]


@pytest.mark.parametrize("code", TARGETS)
def test_an_action_is_done_by_nobody_else(code: str) -> None:
    target = TARGETS[code]()
    state = state_of(code, target)

    for who in sorted(set(EVERYBODY) - ALLOWED[code]):
        question, answer = look_and_answer(client_of(who), code, target, state)

        assert question.status_code == answer.status_code == (302 if who in ("nobody", "person") else 403)
        assert "/admin/login/" in answer.get("Location", "/admin/login/")
        assert not AuditLogEntry.objects.exists()
        assert state_of(code, target) == state


@pytest.mark.parametrize("code", TARGETS)
def test_a_double_click_does_it_once(code: str) -> None:
    target, client = TARGETS[code](), client_of("owner")
    answers = hidden(client.get(address(code, target)).content.decode()) | {"reason": "because"} | more(code)

    first = client.post(address(code, target), answers)
    second = client.post(address(code, target), answers, follow=True)
    with time_machine.travel(timezone.now() + timedelta(minutes=1)):
        later = client.post(address(code, target), answers, follow=True)

    entry = AuditLogEntry.objects.get()
    assert first.status_code == 302
    assert f"Done: {action_title(entry.action)}, {entry.target_name}" in html.unescape(second.content.decode())
    assert f"Already done: {action_title(entry.action)}, {entry.target_name}" in html.unescape(later.content.decode())
    assert f"at {entry.at:%H:%M:%S} UTC on {entry.at:%b %-d, %Y} by you." in second.content.decode()


@pytest.mark.parametrize("code", TARGETS)
def test_the_question_says_what_it_is_about_and_what_comes_of_it(code: str) -> None:
    target = TARGETS[code]()
    action = ACTIONS[code]

    page = html.unescape(client_of("owner").get(address(code, target)).content.decode())

    about = target_label(action.load(str(getattr(target, "pk", target))))
    assert f"<h1>{action.title}: {about}</h1>" in page
    assert all(effect in page for effect in (*action.effects, action.undo_note))
    assert ("undo-note danger" in page) == ("can't be undone" in action.undo_note and action.danger)
    shoot_id = action.shoot_of(target)
    assert shoot_id is None or code == "refund" or str(shoot_id) in page or str(target.pk) in page
    owner = target if isinstance(target, User) else getattr(target, "owner", getattr(target, "shoot", None))
    owner = owner.owner if isinstance(owner, Shoot) else owner
    assert owner is None or owner.email in page


def test_the_question_names_looks_and_what_a_version_changes() -> None:
    pack, draft = make_preview(), draft_of_a_look()
    client = client_of("owner")

    of_a_pack = client.get(address("cancel-pack", pack)).content.decode()
    of_a_look = client.get(address("publish-look", draft)).content.decode()

    assert pack.headshots.first().look.title in of_a_pack
    assert f"title: {draft.style.title} → Another" in of_a_look


def test_whoever_may_not_see_accounts_is_shown_their_numbers() -> None:
    payment = paid_payment()

    page = client_of("finance").get(address("refund", payment)).content.decode()

    assert f"account {payment.owner_id}" in page
    assert payment.owner.email not in page


def test_two_of_staff_who_help_one_after_the_other_are_told_of_each_other() -> None:
    account, first, second = make_user(), make_staff("support"), signed_in(make_staff("support"))
    answers = hidden(second.get(address("grant-credits", account)).content.decode()) | {"reason": "late"}
    do(signed_in(first), "grant-credits", account, count="1")

    page = second.post(address("grant-credits", account), answers | more("grant-credits")).content.decode()

    assert f"Last action: Grant packs, account {account.pk} (1 pack)" in page
    assert f"by account {first.pk}." in page


@pytest.mark.parametrize("code", TARGETS)
def test_without_a_reason_nothing_is_done(code: str) -> None:
    target, client = TARGETS[code](), client_of("owner")
    answers = hidden(client.get(address(code, target)).content.decode()) | more(code)

    for reason in ("", "x" * 201, "ask ada@example.org"):
        assert client.post(address(code, target), answers | {"reason": reason}).status_code == 422

    assert not AuditLogEntry.objects.exists()


def test_what_has_changed_since_the_question_is_asked_again() -> None:
    pack, owner = make_preview(), client_of("owner")
    answers = hidden(owner.get(address("cancel-pack", pack)).content.decode()) | {"reason": "stuck"}
    advance(pack, Pack.State.RENDERING)

    response = owner.post(address("cancel-pack", pack), answers)
    pack.refresh_from_db()
    state_after = pack.state
    again = do(owner, "cancel-pack", pack)

    assert response.status_code == 409
    assert "The state has changed since you opened this page" in response.content.decode()
    assert state_after == Pack.State.RENDERING
    assert again.status_code == 302
    assert AuditLogEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_of_staff_at_the_same_moment_do_it_once() -> None:
    pack = make_preview()
    clients = [client_of("owner"), client_of("support")]
    answers = [
        hidden(each.get(address("cancel-pack", pack)).content.decode()) | {"reason": "stuck"} for each in clients
    ]
    statuses = []

    def click(client: Client, answer: dict[str, str]) -> None:
        try:
            statuses.append(client.post(address("cancel-pack", pack), answer).status_code)
        finally:
            connection.close()

    clicks = [threading.Thread(target=click, args=pair) for pair in zip(clients, answers, strict=True)]
    for each in clicks:
        each.start()
    for each in clicks:
        each.join(30)

    assert sorted(statuses) == [302, 409]
    assert AuditLogEntry.objects.count() == Event.objects.filter(name="pack.canceled").count() == 1


def test_pages_of_rows_offer_what_can_be_done_and_no_more() -> None:
    pack = make_preview()
    page = f"/admin/shoots/pack/{pack.pk}/change/"

    offered = client_of("support").get(page).content.decode()
    advance(pack, Pack.State.CANCELED)
    ended = client_of("support").get(page).content.decode()

    assert address("cancel-pack", pack) in offered
    assert address("retry-pack", pack) not in offered
    assert address("cancel-pack", pack) not in ended


def test_no_such_action_and_no_such_thing() -> None:
    owner = client_of("owner")

    for path in ("explode/1", f"retry-pack/{uuid4()}", "retry-pack/x", "block-account/999999", "pause/everything"):
        assert owner.get(f"/admin/actions/{path}/").status_code == 404
