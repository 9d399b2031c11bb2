"""What staff see of money. What they can do about it: tests/headshots/dashboard/actions/test_actions_on_accounts.py."""

import re
from html import unescape

import pytest
from django.test import Client

from headshots.accounts.models import User
from headshots.dashboard.models import AuditLogEntry
from headshots.payments.accounting.credits import return_credit
from headshots.payments.accounting.refunds import request_refund
from headshots.payments.mails import send_credit_mail
from headshots.payments.models import Credit, Payment, Refund, WebhookEvent
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Event, Pack, Shoot
from tests.helpers.fake_stripe import FakeStripe
from tests.helpers.money import paid
from tests.helpers.staff import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff@example.org", "a long enough pass phrase"))
    return client


def test_every_list_and_page_opens_and_nothing_can_be_changed(staff: Client, stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    credit, event = Credit.objects.get(), WebhookEvent.objects.get()

    for path in ("payment/", f"payment/{payment.pk}/change/", "credit/", f"credit/{credit.pk}/change/", "refund/"):
        assert staff.get(f"/admin/payments/{path}").status_code == 200
    for path in ("webhookevent/", f"webhookevent/{event.pk}/change/", "ledgerentry/"):
        assert staff.get(f"/admin/payments/{path}").status_code == 200
    assert staff.post(f"/admin/payments/payment/{payment.pk}/delete/").status_code == 403
    assert staff.post("/admin/payments/ledgerentry/add/").status_code == 403
    assert staff.post(f"/admin/payments/payment/{payment.pk}/change/", {"amount": 1}).status_code == 403
    shown = staff.get(f"/admin/payments/payment/{payment.pk}/change/").content.decode()
    assert shoot.owner is not None
    assert shoot.owner.email not in shown


@pytest.mark.parametrize(("who", "sees"), [("owner", True), ("finance", True), ("support", False)])
def test_amounts_are_written_as_people_do_and_for_those_who_may_see_them(
    stripe: FakeStripe, shoot: Shoot, who: str, sees: bool
) -> None:
    payment = paid(stripe, shoot)
    request_refund(payment=payment, reason=Refund.Reason.GOODWILL, amount=450)
    client = client_of(who)

    shown = [client.get(f"/admin/payments/payment/{end}").content.decode() for end in ("", f"{payment.pk}/change/")]
    event = Event.objects.get(name="payment.paid")
    events = client.get(f"/admin/shoots/event/{event.pk}/change/").content.decode()

    assert ["$19" in page for page in shown] == [sees] * 2
    # As a word of its own: request ids and hashes of files may contain these digits.
    assert not [page for page in (*shown, events) if re.search(r"(?<![\w.-])1900(?![\w.-])", page)]


def test_the_timeline_tells_what_was_true_then_and_amounts_to_those_who_may_see_them(
    stripe: FakeStripe, shoot: Shoot
) -> None:
    payment = paid(stripe, shoot)
    request = {"amount": "4.50", "currency": "usd", "code": "goodwill", "styles": ["1", "2"], "none": []}
    AuditLogEntry.objects.create(
        staff_id=1, action="refund", target_type="payment", target_id=str(payment.pk), shoot_id=shoot.pk, reason="kind",
        details=request,
    )  # fmt: skip
    assert payment.pack is not None
    advance(payment.pack, Pack.State.FAILED, reason=Pack.Reason.ENGINE_FAILED)
    return_credit(pack=payment.pack)
    send_credit_mail(credit=Credit.objects.get())
    Payment.objects.update(state="lost")

    owner, support = (
        unescape(client_of(who).get(f"/admin/support/{shoot.pk}/").content.decode()) for who in ("owner", "support")
    )

    assert "amount: $19, mode: test" in owner
    assert "code: goodwill, styles: 1, 2, amount: $4.50" in owner
    assert "credit: mailed" in owner
    assert "mail: available" in owner
    assert "source: payment" in owner
    for page in (owner, support):
        assert "ledger: charge" in page
        assert "lost" not in page
        assert "1900" not in page
        assert "[]" not in page
    assert "$" not in support.partition('id="happened"')[2]
    assert "amount" not in support
    assert "4.50" not in support


def test_whoever_has_no_role_sees_no_money(client: Client, stripe: FakeStripe, shoot: Shoot) -> None:
    paid(stripe, shoot)
    client.force_login(User.objects.create_user("helper@example.org", "a long enough pass phrase", is_staff=True))

    assert client.get("/admin/payments/payment/").status_code == 403
