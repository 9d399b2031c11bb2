"""What comes of what staff does to accounts, their money and their mail."""

import json

import pytest
from django.core import mail

from headshots.accounts.models import Session, User
from headshots.celery import app
from headshots.dashboard.models import AuditLogEntry
from headshots.payments.accounting.credits import open_credits
from headshots.payments.mails import send_credit_mail
from headshots.payments.models import Credit, Refund
from headshots.retention.certificates import mail_certificate
from headshots.retention.models import DeletionCertificate
from headshots.shoots.delivery.mails import send_delivery_mail
from tests.headshots.dashboard.actions.targets import delivered_pack, mailed_certificate, mailed_credit, paid_payment
from tests.helpers.factories import make_user
from tests.helpers.staff import client_of, do, make_staff, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine", "stripes_test_mode")]


def test_a_blocked_account_is_out_at_once_and_in_again_when_it_is_let_in() -> None:
    account = make_user()
    browser = signed_in(account)
    assert browser.get("/shoots/").status_code == 200

    do(client_of("support"), "block-account", account)
    out = browser.get("/shoots/")
    sessions = Session.objects.filter(account_id=account.pk).count()
    do(client_of("support"), "unblock-account", account)

    assert out.status_code == 302
    assert sessions == 0
    account.refresh_from_db()
    assert account.is_active


@pytest.mark.parametrize("who", ["owner", "support", "root"])
def test_staff_is_not_blocked(who: str) -> None:
    staff = User.objects.create_superuser("root@example.org", "x") if who == "root" else make_staff(who)

    refused = do(client_of("support"), "block-account", staff)

    assert refused.status_code in {409, 422}
    assert "block a staff account" in refused.content.decode()
    assert User.objects.get(pk=staff.pk).is_active


def test_nobody_grants_packs_to_themselves() -> None:
    staff = make_staff("support")

    refused = do(signed_in(staff), "grant-credits", staff, count="1", code="goodwill")

    assert refused.status_code == 409
    assert not Credit.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_confirmation_mail_is_sent_again() -> None:
    account = make_user()

    do(client_of("support"), "resend-confirmation", account)

    assert [message.to for message in mail.outbox] == [[account.email]]


def test_a_part_of_a_payment_is_given_back_and_written_down() -> None:
    payment = paid_payment()

    do(client_of("finance"), "refund", payment, amount="4.50", code="quality")
    too_much = do(client_of("finance"), "refund", payment, amount="19.00")
    nothing = do(client_of("finance"), "refund", payment, amount="0")

    refund, entry = Refund.objects.get(), AuditLogEntry.objects.get()
    assert (refund.amount, refund.reason) == (450, "quality")
    assert entry.details == {"amount": "4.50", "code": "quality", "currency": "usd"}
    assert too_much.status_code == 409
    assert "You can refund at most $14.50" in too_much.content.decode()
    assert ' value="because it helps"' in too_much.content.decode()
    assert "Enter an amount greater than zero." in nothing.content.decode()


def test_granted_packs_are_open_credits() -> None:
    account = make_user()

    do(client_of("support"), "grant-credits", account)

    assert open_credits(account).count() == 2
    assert set(Credit.objects.values_list("source", "reason")) == {("grant", "support")}


def test_mails_are_sent_again(valkey, django_capture_on_commit_callbacks) -> None:
    certificate, credit, pack = mailed_certificate(), mailed_credit(), delivered_pack()

    with django_capture_on_commit_callbacks(execute=True):
        do(client_of("support"), "resend-certificate", certificate)
        do(client_of("support"), "resend-credit-mail", credit)
        do(client_of("support"), "resend-delivery-mail", pack)
    pack.refresh_from_db()
    send_delivery_mail(pack=pack)
    mail_certificate(DeletionCertificate.objects.get())
    send_credit_mail(credit=Credit.objects.select_related("owner", "payment").get())

    sent = {json.loads(message)["headers"]["task"] for message in valkey.lrange("default", 0, -1)}
    assert sent == {"retention.mail_certificate", "payments.send_mail", "shoots.mail_delivered"}
    app.loader.import_default_modules()
    assert sent <= set(app.tasks)
    assert sorted(message.to[0] for message in mail.outbox) == sorted(
        each.email for each in (certificate.owner, credit.owner, pack.shoot.owner)
    )
