"""What staff see of money. What they can do about it: tests/headshots/test_actions.py."""

import pytest
from django.test import Client

from headshots.accounts.models import User
from headshots.payments.models import Credit, WebhookEvent
from headshots.shoots.models import Shoot
from tests.fake_stripe import FakeStripe
from tests.money import paid

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


def test_whoever_has_no_role_sees_no_money(client: Client, stripe: FakeStripe, shoot: Shoot) -> None:
    paid(stripe, shoot)
    client.force_login(User.objects.create_user("helper@example.org", "a long enough pass phrase", is_staff=True))

    assert client.get("/admin/payments/payment/").status_code == 403
