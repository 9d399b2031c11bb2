"""Every reason that a pack can end with, and whether what its page says then is true."""

import re

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from headshots.accounts.models import User
from headshots.payments import tasks
from headshots.payments.accounting.credits import grant_credit, return_credit
from headshots.payments.checkout.orders import buy_credit, checkout_url
from headshots.payments.models import Credit, Payment, Refund
from headshots.shoots.lifecycle import advance, begin_purge
from headshots.shoots.models import Headshot, Pack, Shoot
from headshots.shoots.uploads.new_shoot import previews_left
from tests.helpers.factories import checked_astronaut, seed_styles
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import HOME, bare_shoot, deliver, looks, paid, session_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine", "at_the_test_checkout")]

STOPPED = "We had to stop this pack."
YOURS = "You haven’t lost anything. The pack is back in your account."
HERE = "from the photos you’ve uploaded"
UPLOAD = "then order the pack from the new shoot’s page"
GENERAL = "We tried several times without success. A different photo may work."
OURS = "Your photo is fine"
OWN_WORDS = {
    "not_alike": "too many pictures didn’t look like you",
    "skin_tone": "lighter, darker or more saturated",
    "oversaturated": "lighter, darker or more saturated",
    "too_alike": "too many pictures looked alike",
    Pack.Reason.STORAGE_FAILED: OURS,
    Pack.Reason.ENGINE_BROKEN: OURS,
}
FAILURES = [*OWN_WORDS, "no_face", "several_faces", Pack.Reason.ENGINE_FAILED]
# How a premium pack ends, why, whether its photos are there still, and what its page says.
ENDS = [
    *(("failed", reason, True, (OWN_WORDS.get(reason, GENERAL), YOURS, HERE)) for reason in FAILURES),
    ("failed", Pack.Reason.ENGINE_FAILED, False, (GENERAL, YOURS, UPLOAD)),
    ("canceled", Pack.Reason.STAFF, True, (STOPPED, YOURS, HERE)),
    ("canceled", Pack.Reason.STAFF, False, (STOPPED, YOURS, UPLOAD)),
    ("canceled", Pack.Reason.ON_REQUEST, True, ("You stopped this pack before any headshots were made.", YOURS, HERE)),
    ("canceled", Pack.Reason.PHOTOS_DELETED, False, ("because its photos were deleted", YOURS, UPLOAD)),
    ("canceled", Pack.Reason.PHOTOS_LOST, False, ("restarted", "can’t be opened anymore", YOURS, UPLOAD)),
    ("canceled", Pack.Reason.ACCOUNT_DELETED, True, ("This pack was stopped.", YOURS)),
]


@pytest.fixture(autouse=True)
def looks_there_are(db: None) -> None:
    seed_styles()


def shoot_of(person: User) -> Shoot:
    shoot = bare_shoot(person)
    shoot.photos.update(chosen_face=0, face_count=1, score=checked_astronaut().score)
    return shoot


def make_pack(shoot: Shoot, kind: str = "premium") -> Pack:
    sizes = {"width": 768, "height": 960, "total": 1, "seed": 1, "engine": "fake"}
    pack = Pack.objects.create(shoot=shoot, kind=kind, state="queued", queued_at=timezone.now(), **sizes)
    Headshot.objects.create(pack=pack, index=0, style=looks(1)[0], seed=1)
    return pack


def pay_for(pack: Pack, amount: int = 1900) -> Credit:
    now = timezone.now()
    payment = Payment.objects.create(
        owner=pack.shoot.owner, pack=pack, engine="fake", mode="local", state="paid", amount=1900, amount_paid=amount,
        currency="usd", expires_at=now, paid_at=now,
    )  # fmt: skip
    return Credit.objects.create(owner=pack.shoot.owner, source="payment", payment=payment, state="used", pack=pack)


def words_of(browser: Client, pack: Pack) -> str:
    """What the page of the shoot says under this pack, without its marks."""
    page = browser.get(f"/shoots/{pack.shoot_id}/").content.decode()
    part = page[page.index(f'id="pack-{pack.pk}-words"') :]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", part[: part.index("</div>")]))


@pytest.mark.parametrize(("end", "reason", "photos_are_here", "words"), ENDS)
def test_what_a_page_says_of_a_paid_pack_that_came_to_nothing_is_true(
    browser: Client, person: User, end: str, reason: str, photos_are_here: bool, words: tuple[str, ...]
) -> None:
    pack = make_pack(shoot_of(person))
    pay_for(pack)
    advance(pack, end, reason=reason)
    return_credit(pack=pack)
    if not photos_are_here:
        begin_purge(pack.shoot)

    said = words_of(browser, pack)

    assert [sentence for sentence in words if sentence not in said] == []
    assert (HERE in said) == photos_are_here
    assert "You can also get a refund of $19" in said
    # Nothing was.
    assert "You can still download" not in said
    assert ("its photos were deleted" in said) == (reason == Pack.Reason.PHOTOS_DELETED)


@pytest.mark.parametrize("end", ["failed", "canceled"])
@pytest.mark.parametrize("source", ["grant", "redo"])
def test_who_paid_nothing_for_a_pack_is_promised_no_money(browser: Client, person: User, end: str, source: str) -> None:
    pack = make_pack(shoot_of(person))
    Credit.objects.create(owner=person, source=source, state="used", pack=pack)
    # Another one, which was paid, is none of its business.
    other = make_pack(shoot_of(person))
    pay_for(other)
    advance(other, end, reason=Pack.Reason.STAFF if end == "canceled" else Pack.Reason.ENGINE_FAILED)
    return_credit(pack=other)
    advance(pack, end, reason=Pack.Reason.STAFF if end == "canceled" else Pack.Reason.ENGINE_FAILED)
    return_credit(pack=pack)

    said = words_of(browser, pack)

    assert YOURS in said
    assert "There’s nothing to pay" in said
    assert "refund" not in said


def test_a_granted_pack_that_came_back_and_was_used_again_is_not_said_to_be_there(
    browser: Client, person: User
) -> None:
    pack = make_pack(shoot_of(person))
    credit = Credit.objects.create(owner=person, source="grant", state="used", pack=pack)
    advance(pack, "canceled", reason=Pack.Reason.STAFF)
    return_credit(pack=pack)
    Credit.objects.filter(pk=credit.pk).update(state="used", pack=make_pack(shoot_of(person)))

    said = words_of(browser, pack)

    assert YOURS not in said
    assert "The pack was returned to your account" in said


@pytest.mark.parametrize("state", ["refunded", "revoked"])
def test_a_pack_whose_money_went_back_is_not_called_theirs(browser: Client, person: User, state: str) -> None:
    pack = make_pack(shoot_of(person))
    credit = pay_for(pack)
    advance(pack, "revoked", reason=state)
    Credit.objects.filter(pk=credit.pk).update(state=state)

    said = words_of(browser, pack)

    assert "This pack was stopped." in said
    assert ("Your payment has been refunded" if state == "refunded" else "was disputed") in said
    assert YOURS not in said


def test_a_pack_that_was_had_before_its_photos_were_deleted_counts_as_used(browser: Client, person: User) -> None:
    pack = make_pack(shoot_of(person))
    pay_for(pack)
    advance(pack, "canceled", reason=Pack.Reason.USED_AFTER_DELIVERY)
    return_credit(pack=pack)

    said = words_of(browser, pack)

    assert "so this pack counts as used" in said
    assert YOURS not in said


def test_a_free_pack_that_staff_stopped_does_not_count(browser: Client, person: User) -> None:
    before = previews_left(person)
    pack = make_pack(shoot_of(person), kind="preview")
    counted = previews_left(person)
    advance(pack, "canceled", reason=Pack.Reason.STAFF)

    said = words_of(browser, pack)

    assert "We had to stop this pack. It doesn’t count as one of your free shoots." in said
    assert (counted, previews_left(person)) == (before - 1, before)


def test_what_was_finished_is_named_only_where_something_was(browser: Client, person: User) -> None:
    pack = make_pack(shoot_of(person), kind="preview")
    pack.headshots.update(state="done", done_at=timezone.now())
    advance(pack, "failed", reason=Pack.Reason.ENGINE_FAILED)

    assert "You can still download the finished" in words_of(browser, pack)


def test_the_order_page_asks_nobody_for_money_whose_pack_is_about_to_come_back(browser: Client, person: User) -> None:
    pack = make_pack(shoot_of(person))
    pay_for(pack)
    advance(pack, "canceled", reason=Pack.Reason.STAFF)

    page = browser.get(f"/shoots/{pack.shoot_id}/order/").content.decode()

    assert "Use your pack" in page
    assert "Order and pay" not in page


# By mail ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "reason", "words"),
    [
        ("canceled", Pack.Reason.ON_REQUEST, "You stopped your pack of 4 headshots. You haven’t"),
        ("canceled", Pack.Reason.PHOTOS_DELETED, "its photos were no longer available."),
        ("canceled", Pack.Reason.STAFF, "We had to stop your pack"),
        ("failed", "not_alike", "We couldn’t make your pack of 4 headshots. You haven’t"),
    ],
)
def test_the_mail_about_a_pack_that_came_back_says_why(
    stripe: FakeStripe, shoot: Shoot, end: str, reason: str, words: str
) -> None:
    pack = paid(stripe, shoot).pack
    assert pack is not None
    advance(pack, Pack.State.RENDERING)
    advance(pack, end, reason=reason)
    return_credit(pack=pack)

    tasks.send_mail(str(Credit.objects.get().pk))

    (message,) = mail.outbox
    assert words in message.body
    assert "The pack is back in your account" in message.body


@pytest.mark.parametrize(
    ("reason", "subject", "words"),
    [
        ("", "A free pack of 4 headshots for you", "We’ve added a free pack of 4 headshots to your account."),
        (
            Pack.Reason.STAFF,
            "Your pack of 4 headshots is still available",
            "We had to stop your pack of 4 headshots. You haven’t",
        ),
        ("not_alike", "Your pack of 4 headshots is still available", "We couldn’t make your pack of 4 headshots."),
    ],
)
def test_the_mail_about_a_granted_pack_says_what_became_of_it_and_promises_no_money(
    stripe: FakeStripe, person: User, reason: str, subject: str, words: str
) -> None:
    credit = grant_credit(owner=person, reason=Credit.GrantReason.GOODWILL)
    Credit.objects.filter(pk=credit.pk).update(return_reason=reason)

    tasks.send_mail(str(credit.pk))

    (message,) = mail.outbox
    assert message.subject == subject
    assert words in message.body
    assert "There’s nothing to pay" in message.body
    assert "Or get a refund of" not in message.body


@pytest.mark.parametrize(
    ("reason", "failed", "words"),
    [
        ("refunded", True, "We tried to refund your payment"),
        ("revoked", False, "during a payment dispute. The dispute is now resolved."),
    ],
)
def test_the_mail_about_money_that_stayed_says_why(
    stripe: FakeStripe, person: User, reason: str, failed: bool, words: str
) -> None:
    payment = buy_credit(owner=person)
    checkout_url(payment=payment, urls=HOME)
    deliver(stripe.pay(session_of(payment)))
    credit = Credit.objects.get(payment=payment)
    Credit.objects.filter(pk=credit.pk).update(return_reason=reason, pending_mail=Credit.Mail.AVAILABLE)
    if failed:
        Refund.objects.create(payment=payment, amount=1900, reason=Refund.Reason.PERSON, state="failed")

    tasks.send_mail(str(credit.pk))

    assert words in mail.outbox[0].body
    assert "could not be made" not in mail.outbox[0].body
