"""Packs that cannot be completed: when the customer is asked, what each answer and no answer lead to."""

import math
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.core import mail
from django.utils import timezone

from headshots.retention.due import purge_due
from headshots.retention.purging import purge_delivered
from headshots.shoots import tasks
from headshots.shoots.lifecycle import advance, begin_purge
from headshots.shoots.models import Event, Headshot, Pack, Shoot
from headshots.shoots.packs import gating, rendering
from headshots.shoots.packs.orders import answer_incomplete, running_pack
from headshots.vault.models import Blob
from headshots.vault.services import create_key, write_blob
from tests.helpers.factories import make_shoot, seed_styles
from tests.helpers.money import looks

pytestmark = pytest.mark.django_db

TOTAL = 5


@pytest.fixture(autouse=True)
def looks_there_are(db: None) -> None:
    seed_styles()


def rendered(*, done: int, kind: str = Pack.Kind.PREMIUM, total: int = TOTAL) -> Pack:
    """A pack of which the gate refused all other pictures, before its last worker is through."""
    queued_at = timezone.now() - timedelta(minutes=9)
    pack = Pack.objects.create(
        shoot=make_shoot(), kind=kind, state="rendering", engine="fake", total=total, seed=1, width=640, height=800,
        queued_at=queued_at,
    )  # fmt: skip
    create_key(ring="result", key_id=pack.pk)
    for index in range(total):
        row = Headshot(pack=pack, index=index, style=looks(1)[0], seed=index, state="rejected", reasons=["not_alike"])
        if index < done:
            row.blob = write_blob(ring="result", key_id=pack.pk, kind="headshot", data=b"a picture")
            row.state, row.reasons, row.done_at = "done", [], queued_at + timedelta(minutes=5)
        row.save()
    return pack


def asked(done: int = 4) -> Pack:
    pack = rendered(done=done)
    rendering._finish(pack)
    assert pack.state == Pack.State.AWAITING_ANSWER
    return pack


@pytest.mark.parametrize(
    ("kind", "done", "state"),
    [
        ("premium", 5, "delivered"),
        ("premium", 4, "awaiting_answer"),
        ("premium", 3, "failed"),
        ("premium", 0, "failed"),
        ("preview", 4, "failed"),
        ("trial", 4, "failed"),
    ],
)
def test_a_paid_pack_with_its_share_of_headshots_is_asked_about(kind: str, done: int, state: str) -> None:
    pack = rendered(done=done, kind=kind)

    rendering._finish(pack)

    pack.refresh_from_db()
    asks = state == "awaiting_answer"
    assert pack.state == state
    assert pack.reason == ("" if state == "delivered" else "not_alike")
    assert pack.missing == (TOTAL - done if asks else 0)
    assert pack.refund_due is False
    assert pack.is_live == asks


def test_a_shot_that_the_engine_could_not_render_fails_the_pack_for_staff_to_retry() -> None:
    pack = rendered(done=4)
    pack.headshots.filter(state="rejected").update(reasons=[Pack.Reason.ENGINE_FAILED])

    rendering._finish(pack)

    assert (pack.state, pack.reason) == (Pack.State.FAILED, Pack.Reason.ENGINE_FAILED)


@pytest.mark.parametrize(
    ("share", "total", "needed"), [(0.8, 50, 40), (0.7, 10, 7), (0.01, 50, 1), (0.81, 5, 5), (1.0, 50, 50)]
)
def test_the_share_is_a_setting(settings: LazySettings, share: float, total: int, needed: int) -> None:
    settings.HEADSHOTS_MIN_PACK_SHARE = share
    pack = Pack(kind=Pack.Kind.PREMIUM, total=total)

    states = [gating.next_state(pack, done=done) for done in (needed - 1, needed, total)]

    offered = Pack.State.DELIVERED if needed == total else Pack.State.AWAITING_ANSWER
    assert states == [Pack.State.FAILED, offered, Pack.State.DELIVERED]


def test_keeping_delivers_what_is_there_and_leaves_a_refund_to_be_decided() -> None:
    pack = asked()

    answers = [answer_incomplete(pack=pack, keep=keep) for keep in (True, True, False)]

    pack.refresh_from_db()
    assert answers == [True, False, False]
    assert (pack.state, pack.missing, pack.refund_due, pack.mail_due) == (Pack.State.DELIVERED, 1, True, True)
    event = Event.objects.get(pack_id=pack.pk, name="pack.delivered")
    assert event.actor == Event.Actor.PERSON
    # The time in which we waited for the customer does not count.
    assert event.numbers == {"pictures": 4, "missing": 1, "seconds": 300}


def test_canceling_deletes_what_is_there_and_leaves_the_photos_for_another_order() -> None:
    pack = asked()

    answers = [answer_incomplete(pack=pack, keep=keep) for keep in (False, False, True)]
    purge_due()

    pack.refresh_from_db()
    assert answers == [True, False, False]
    assert (pack.state, pack.reason) == (Pack.State.DELETED, Pack.Reason.INCOMPLETE)
    assert (pack.ended_as, pack.delivered_at, pack.refund_due) == (Pack.State.CANCELED, None, False)
    assert not Blob.objects.filter(key_id=pack.pk).exists()
    assert Shoot.objects.get().is_open


@pytest.mark.parametrize("state", ["queued", "rendering", "delivered", "failed", "canceled"])
@pytest.mark.parametrize("keep", [True, False])
def test_no_other_pack_can_be_answered(state: str, keep: bool) -> None:
    pack = rendered(done=5)
    Pack.objects.update(state=state)

    assert not answer_incomplete(pack=pack, keep=keep)
    assert Pack.objects.get().state == state


def test_the_photos_wait_for_the_answer() -> None:
    pack = asked()

    closed = purge_delivered(shoot=pack.shoot)
    purge_due()
    still_open = Shoot.objects.get().is_open
    answer_incomplete(pack=pack, keep=True)
    purge_due()

    assert (closed, still_open) == (False, True)
    assert Shoot.objects.get().state == Shoot.State.PURGED


def test_without_an_answer_it_is_delivered_before_the_photos_go() -> None:
    pack = asked()
    Shoot.objects.update(delete_after=timezone.now())

    purge_due()
    too_late = [answer_incomplete(pack=pack, keep=keep) for keep in (False, True)]

    pack.refresh_from_db()
    assert Shoot.objects.get().state == Shoot.State.PURGED
    assert (pack.state, pack.missing, pack.refund_due) == (Pack.State.DELIVERED, 1, True)
    assert Blob.objects.filter(key_id=pack.pk, kind="headshot").count() == 4
    assert too_late == [False, False]
    assert Event.objects.get(name="pack.delivered").actor == Event.Actor.SYSTEM


def test_an_answer_that_comes_while_the_photos_are_being_closed_changes_nothing_any_more() -> None:
    pack = asked()
    begin_purge(pack.shoot)

    assert not answer_incomplete(pack=pack, keep=False)
    assert Pack.objects.get().state == Pack.State.DELIVERED


def test_a_purge_that_finds_the_pack_answered_leaves_it_as_it_is() -> None:
    pack = asked()
    answer_incomplete(pack=pack, keep=False)

    begin_purge(pack.shoot)

    assert Pack.objects.get().reason == Pack.Reason.INCOMPLETE


def test_who_deletes_everything_instead_of_answering_has_had_what_was_there(
    django_capture_on_commit_callbacks,
) -> None:
    pack = asked()
    said = running_pack(Shoot.objects.all())

    begin_purge(pack.shoot, actor=Event.Actor.PERSON, everything=True)
    purge_due()
    tasks.mail_delivered(str(pack.pk))

    pack.refresh_from_db()
    assert said == "incomplete"
    assert (pack.state, pack.ended_as) == (Pack.State.DELETED, Pack.State.DELIVERED)
    assert (pack.missing, pack.refund_due) == (1, True)
    assert not Blob.objects.filter(key_id=pack.pk).exists()
    # It would announce headshots that are gone.
    assert mail.outbox == []


def test_the_mail_of_an_incomplete_delivery_counts_what_is_there() -> None:
    pack = asked()
    answer_incomplete(pack=pack, keep=True)

    tasks.mail_delivered(str(pack.pk))

    (sent,) = mail.outbox
    assert sent.subject == "Your 4 headshots are ready"
    assert "1 of the 5 headshots you ordered is missing" in sent.body


def test_staff_may_cancel_it_too() -> None:
    assert advance(asked(), Pack.State.CANCELED, actor=Event.Actor.STAFF, reason=Pack.Reason.STAFF)


@pytest.mark.parametrize(
    ("total", "acceptance", "refusals"),
    [(50, 0.6, 52), (50, 0.75, 29), (50, 1.0, 0), (4, 0.6, 9), (1, 0.5, 6)],
)
def test_the_budget_follows_the_acceptance(total: int, acceptance: float, refusals: int) -> None:
    assert gating.max_refusals(total, acceptance) == refusals


@pytest.mark.parametrize("acceptance", [0.3, 0.6, 0.9])
def test_99_of_100_packs_are_completed_at_that_acceptance_and_no_more_than_needed_is_rendered(
    acceptance: float,
) -> None:
    def completed(refusals: int) -> float:
        """The share of packs of 50 of which, of 50 + `refusals` pictures, at least 50 are accepted."""
        most = 50 + refusals
        return sum(
            math.comb(most, accepted) * acceptance**accepted * (1 - acceptance) ** (most - accepted)
            for accepted in range(50, most + 1)
        )

    budget = gating.max_refusals(50, acceptance)

    assert completed(budget) >= 0.99 > completed(budget - 1)
