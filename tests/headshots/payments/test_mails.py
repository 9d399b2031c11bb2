"""What a person is told of their money: by mail, once, and on the pages that stay."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.core import mail
from django.test import Client, TestCase
from django.utils import timezone

from headshots.accounts.models import User
from headshots.payments import tasks
from headshots.payments.accounting.credits import request_redo, return_credit
from headshots.payments.accounting.refunds import refund_credit, request_refund, send_refund
from headshots.payments.checkout.orders import buy_credit, checkout_url
from headshots.payments.models import Credit, Payment, Refund
from headshots.payments.reconciliation import reconcile
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Pack, Shoot
from tests.helpers.factories import make_delivered
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import HOME, deliver, looks, paid, session_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


@pytest.fixture(autouse=True)
def with_an_address(settings: LazySettings) -> None:
    settings.HEADSHOTS_SITE_URL = "https://headshots.example.org"
    settings.HEADSHOTS_OPERATOR = "Example Ltd, 1 Some Street, Sometown"


def bought(stripe: FakeStripe, person: User) -> Payment:
    """Paid on the page of prices, for photos that are still to come."""
    payment = buy_credit(owner=person)
    checkout_url(payment=payment, urls=HOME)
    deliver(stripe.pay(session_of(payment)))
    payment.refresh_from_db()
    return payment


def delivered(payment: Payment) -> Pack:
    assert payment.pack is not None
    advance(payment.pack, Pack.State.RENDERING)
    advance(payment.pack, Pack.State.DELIVERED)
    return payment.pack


def queued_tasks(valkey: object) -> str:
    return b"".join(valkey.lrange("default", 0, -1)).decode()  # type: ignore[attr-defined]


# By mail ------------------------------------------------------------------------------------------------------------


def test_a_pack_that_was_bought_without_a_shoot_is_confirmed_once_also_when_the_message_was_lost(
    stripe: FakeStripe, person: User, valkey: object
) -> None:
    bought(stripe, person)
    with TestCase.captureOnCommitCallbacks(execute=True):
        reconcile()
    for _ in range(2):
        tasks.send_mail(str(Credit.objects.get().pk))

    assert "payments.send_mail" in queued_tasks(valkey)
    (message,) = mail.outbox
    assert message.to == [person.email]
    assert message.subject == "Your 4-headshot pack is confirmed"
    assert "received your payment of $19" in message.body
    assert "https://headshots.example.org/shoots/new/" in message.body
    assert "\n\n\n" not in message.body.strip()


@pytest.mark.parametrize(
    ("reason", "amount", "words"),
    [
        (Refund.Reason.PERSON, None, "As you requested, we’re refunding $19 to your original payment method."),
        (Refund.Reason.QUALITY, None, "We’re refunding your payment of $19 for a pack of headshots"),
        (Refund.Reason.GOODWILL, 500, "We’re refunding $5 of your payment for a pack of headshots to your"),
    ],
)
def test_a_refund_is_told_once_stripe_has_taken_it_on(
    stripe: FakeStripe, shoot: Shoot, valkey: object, reason: str, amount: int | None, words: str
) -> None:
    refund = request_refund(payment=paid(stripe, shoot), reason=reason, amount=amount)
    assert refund is not None
    tasks.mail_refund(str(refund.pk))
    too_early = len(mail.outbox)

    send_refund(refund=refund)
    with TestCase.captureOnCommitCallbacks(execute=True):
        reconcile()
    for _ in range(2):
        tasks.mail_refund(str(refund.pk))

    assert "payments.mail_refund" in queued_tasks(valkey)
    assert too_early == 0
    (message,) = mail.outbox
    assert message.subject == f"Your refund of {'$5' if amount else '$19'} is on its way"
    assert words in message.body
    assert f"https://headshots.example.org/payments/{refund.payment_id}/" in message.body


def test_a_refund_made_at_stripe_is_told_and_a_mail_that_could_not_be_sent_is_sent_later(
    stripe: FakeStripe, shoot: Shoot, settings: LazySettings
) -> None:
    payment = paid(stripe, shoot)
    stripe.refund(payment.payment_intent)
    deliver(*stripe.events)
    refund = Refund.objects.get()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    tasks.mail_refund(str(refund.pk))
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

    tasks.mail_refund(str(refund.pk))

    assert refund.reason == Refund.Reason.STRIPE
    assert [message.subject for message in mail.outbox] == ["Your refund of $19 is on its way"]


@pytest.mark.parametrize("support", ["", "support@example.org"])
def test_a_part_that_did_not_arrive_is_told_of_once(
    stripe: FakeStripe, shoot: Shoot, browser: Client, settings: LazySettings, support: str
) -> None:
    settings.HEADSHOTS_SUPPORT_EMAIL = support
    refund = request_refund(payment=paid(stripe, shoot), reason=Refund.Reason.GOODWILL, amount=500)
    assert refund is not None
    send_refund(refund=refund)
    tasks.mail_refund(str(refund.pk))
    refund.refresh_from_db()
    stripe.fail_refund(refund.stripe_id)

    deliver(*stripe.events)
    for _ in range(2):
        tasks.mail_refund(str(refund.pk))
        deliver(*stripe.events)

    _, message = mail.outbox
    assert message.subject == "We couldn’t refund $5"
    whom = f" at {support}" if support else ""
    assert f"Please contact us{whom} so we can arrange another way to pay you back." in message.body
    receipt, history = (
        browser.get(page).content.decode() for page in (f"/payments/{refund.payment_id}/", "/payments/")
    )
    assert f"Please contact {support or 'us'}." in receipt
    assert f"Please contact {support or 'us'}." in history
    assert (f'<a href="mailto:{support}">' in receipt) == bool(support)
    assert ("Questions about this payment?" in receipt) == bool(support)
    assert f"https://headshots.example.org/payments/{refund.payment_id}/" in message.body


@pytest.mark.parametrize("amount", [None, 500])
def test_who_was_not_told_that_money_comes_is_not_told_that_it_does_not(
    stripe: FakeStripe, shoot: Shoot, amount: int | None
) -> None:
    refund = request_refund(payment=paid(stripe, shoot), reason=Refund.Reason.GOODWILL, amount=amount)
    assert refund is not None
    send_refund(refund=refund)
    refund.refresh_from_db()
    stripe.fail_refund(refund.stripe_id)
    deliver(*stripe.events)

    tasks.mail_refund(str(refund.pk))

    assert Refund.objects.get().state == Refund.State.FAILED
    assert not mail.outbox


def test_whose_pack_is_theirs_again_reads_that_in_one_mail(stripe: FakeStripe, person: User) -> None:
    bought(stripe, person)
    refund_credit(credit=Credit.objects.get(), reason=Refund.Reason.PERSON)
    refund = Refund.objects.get()
    send_refund(refund=refund)
    tasks.mail_refund(str(refund.pk))
    refund.refresh_from_db()
    mail.outbox.clear()
    stripe.fail_refund(refund.stripe_id)
    deliver(*stripe.events)

    tasks.mail_refund(str(refund.pk))
    tasks.send_mail(str(Credit.objects.get().pk))

    (message,) = mail.outbox
    assert "the refund didn’t go through" in message.body


def test_an_account_that_goes_is_not_written_to_about_its_money(stripe: FakeStripe, person: User) -> None:
    bought(stripe, person)

    refund_credit(credit=Credit.objects.get(), reason=Refund.Reason.ACCOUNT_DELETED)
    send_refund(refund=Refund.objects.get())
    tasks.mail_refund(str(Refund.objects.get().pk))

    assert not mail.outbox


# On the pages that stay ---------------------------------------------------------------------------------------------


def test_a_receipt_names_the_seller_the_tax_and_what_went_back_when(
    stripe: FakeStripe, shoot: Shoot, browser: Client
) -> None:
    payment = paid(stripe, shoot)
    address = f"/payments/{payment.pk}/"
    before = browser.get(address).content.decode()
    refund = request_refund(payment=payment, reason=Refund.Reason.GOODWILL, amount=500)
    assert refund is not None
    asked = browser.get(address).content.decode()
    send_refund(refund=refund)
    after = browser.get(address).content.decode()
    Payment.objects.update(amount_tax=303)
    taxed = browser.get(address).content.decode()

    today = timezone.now().strftime("%B %-d, %Y")
    assert "Example Ltd, 1 Some Street, Sometown" in before
    assert "<dd>None</dd>" in before
    assert "$3.03 (included)" in taxed
    assert "$5, in progress since" in asked
    assert "$5, refunded" in after
    assert after.count(today) > before.count(today)


def test_the_history_says_what_became_of_the_money(stripe: FakeStripe, shoot: Shoot, browser: Client) -> None:
    def became() -> str:
        return " ".join(browser.get("/payments/").content.decode().split())

    payment = paid(stripe, shoot)
    used = became()
    assert payment.pack is not None
    advance(payment.pack, Pack.State.CANCELED, reason=Pack.Reason.ON_REQUEST)
    return_credit(pack=payment.pack)
    waiting = became()
    refund_credit(credit=Credit.objects.get(), reason=Refund.Reason.PERSON)
    returning = became()
    send_refund(refund=Refund.objects.get())

    assert "Used for your shoot from" in used
    assert "Not used yet. If it stays unused, we’ll refund it automatically on" in waiting
    assert "Refund of $19 in progress since" in returning
    assert "$19 refunded on" in became()
    # The shoot's page offers no money a second time.
    shoot_page = browser.get(f"/shoots/{shoot.pk}/").content.decode()
    assert "Your payment has been refunded" in shoot_page
    assert "get a refund" not in shoot_page


def test_a_pack_leads_to_its_receipt_and_to_its_redo_while_there_is_one(
    stripe: FakeStripe, shoot: Shoot, browser: Client
) -> None:
    payment = paid(stripe, shoot)
    page = f"/shoots/{shoot.pk}/"
    in_work = browser.get(page).content.decode()
    pack = delivered(payment)
    fresh = browser.get(page).content.decode()
    prices = browser.get("/pricing/").content.decode()
    request_redo(pack=pack)
    asked = browser.get(page).content.decode()

    receipt = f'href="/payments/{payment.pk}/"'
    assert receipt in in_work
    assert "Not happy" not in in_work
    assert receipt in fresh
    assert fresh.index("Your 4 headshots at 4K") < fresh.index("Your free headshots")
    assert "Not happy? Get a free redo" in fresh
    assert f"/payments/packs/{pack.pk}/redo/" in prices
    assert "Not happy" not in asked
    assert "Use your free redo" in asked


def test_a_free_redo_is_not_called_paid_and_leads_to_the_receipt_of_the_first_pack(
    stripe: FakeStripe, shoot: Shoot, browser: Client
) -> None:
    payment = paid(stripe, shoot)
    redo = request_redo(pack=delivered(payment))
    offered = [browser.get(path).content.decode() for path in (f"/shoots/{shoot.pk}/order/", "/pricing/")]
    names = [look.name for look in looks()]
    browser.post(f"/shoots/{shoot.pk}/order/", {"styles": names, "known_orders": "1", "begin_now": "on", "credit": "1"})

    assert redo is not None
    redo.refresh_from_db()
    assert redo.pack is not None
    assert "Use your free redo" in offered[0]
    assert "Your free redo" in offered[1]
    assert not any("Your unused pack" in page for page in offered)
    page = browser.get(f"/shoots/{shoot.pk}/").content.decode()
    assert "This is your free redo." in page
    assert "Your 4 headshots at 4K (order 1)<" in page
    assert "Your 4 headshots at 4K (order 2)<" in page
    assert page.count(f'href="/payments/{payment.pk}/"') == 2


def test_the_redo_says_beforehand_that_it_begins_with_an_upload(
    stripe: FakeStripe, shoot: Shoot, browser: Client
) -> None:
    pack = delivered(paid(stripe, shoot))
    here = browser.get(f"/payments/packs/{pack.pk}/redo/").content.decode()
    Shoot.objects.update(state=Shoot.State.PURGED)

    assert "Your photos are still available" in here
    assert "starts with a new upload" in browser.get(f"/payments/packs/{pack.pk}/redo/").content.decode()
    upload = browser.post(f"/payments/packs/{pack.pk}/redo/", follow=True)
    assert "You have a free redo." in upload.content.decode()


def test_when_no_time_is_left_both_pages_say_to_upload_again_and_offer_nothing_else(
    browser: Client, person: User, stripe: FakeStripe
) -> None:
    shoot = make_delivered(person).shoot
    Shoot.objects.update(delete_after=timezone.now() + timedelta(minutes=20))

    order_page = browser.get(f"/shoots/{shoot.pk}/order/").content.decode()
    shoot_page = browser.get(f"/shoots/{shoot.pk}/").content.decode()

    assert "Please upload your photo again" in order_page
    assert 'name="styles"' not in order_page
    assert "Upload again" in shoot_page
    assert "Choose looks" not in shoot_page


def test_stopping_a_pack_is_asked_first_and_says_what_becomes_of_the_money(
    stripe: FakeStripe, shoot: Shoot, browser: Client
) -> None:
    payment = paid(stripe, shoot)
    address = f"/shoots/{shoot.pk}/packs/{payment.pack_id}/cancel/"

    question = browser.get(address).content.decode()

    assert address in browser.get(f"/shoots/{shoot.pk}/").content.decode()
    assert "get a refund" in question
    assert Pack.objects.get(pk=payment.pack_id).state == Pack.State.QUEUED
    browser.post(address)
    assert Pack.objects.get(pk=payment.pack_id).state == Pack.State.CANCELED


def test_when_the_free_shoots_of_the_day_are_used_a_pack_still_opens_the_way(
    browser: Client, settings: LazySettings, stripe: FakeStripe
) -> None:
    settings.HEADSHOTS_PREVIEWS_PER_DAY = 0

    assert "buy a pack</a>" in browser.get("/shoots/new/").content.decode()
