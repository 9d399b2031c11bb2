"""What staff can do with money, and that others cannot."""

import pytest
from django.test import Client

from headshots.accounts.models import User
from headshots.payments.models import Credit, Refund, WebhookEvent
from headshots.payments.refunds import send_refund
from headshots.shoots.models import Event, Shoot
from tests.factories import make_user
from tests.fake_stripe import FakeStripe
from tests.money import ledger_sum, paid, state

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
    assert "up to $19" in shown
    assert shoot.owner is not None
    assert shoot.owner.email not in shown


def test_staff_give_a_part_back_with_a_reason(staff: Client, stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    address = f"/admin/payments/payment/{payment.pk}/refund/"

    asked = staff.get(address).content.decode()
    too_much = staff.post(address, {"amount": "19.01", "reason": "goodwill"})
    no_reason = staff.post(address, {"amount": "5"})
    answer = staff.post(address, {"amount": "5.00", "reason": "goodwill"})
    send_refund(refund=Refund.objects.get())

    assert 'value="19.00"' in asked
    assert (too_much.status_code, no_reason.status_code, answer.status_code) == (200, 200, 302)
    assert Refund.objects.get().reason == "goodwill"
    assert state(payment) == ("paid", "used", "queued")
    assert ledger_sum() == stripe.balance == 1400
    assert Event.objects.get(name="payment.refund_asked").actor == "staff"


def test_staff_give_everything_back(staff: Client, stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)

    staff.post(f"/admin/payments/payment/{payment.pk}/refund/", {"amount": "19.00", "reason": "duplicate"})
    send_refund(refund=Refund.objects.get())

    assert state(payment) == ("refunded", "refunded", "revoked")
    assert ledger_sum() == stripe.balance == 0


def test_staff_grant_a_pack(staff: Client) -> None:
    person = make_user()

    refused = staff.post("/admin/payments/credit/add/", {"reason": "press"})
    granted = staff.post("/admin/payments/credit/add/", {"owner": person.pk, "reason": "press"})

    assert refused.status_code == 200
    assert granted.status_code == 302
    credit = Credit.objects.get()
    assert (credit.owner, credit.source, credit.state, credit.reason) == (person, "grant", "open", "press")
    assert credit.mail == Credit.Mail.WAITING


def test_whoever_may_only_look_gives_nothing_back(client: Client, stripe: FakeStripe, shoot: Shoot) -> None:
    payment = paid(stripe, shoot)
    client.force_login(User.objects.create_user("helper@example.org", "a long enough pass phrase", is_staff=True))
    address = f"/admin/payments/payment/{payment.pk}/refund/"

    assert client.get(address).status_code == 403
    assert client.post(address, {"amount": "5", "reason": "goodwill"}).status_code == 403
    assert client.get("/admin/payments/payment/").status_code == 403
    assert not Refund.objects.exists()
    client.force_login(make_user())
    assert client.post(address, {"amount": "5", "reason": "goodwill"}).status_code == 302
