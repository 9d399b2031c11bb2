"""What people read before they pay while uploads or rendering are paused."""

import pytest
from django.test import Client

from headshots.accounts.models import User
from headshots.payments.models import Credit, Payment
from headshots.shoots import pauses
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Pack, Pause, Shoot
from tests.helpers.money import looks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine", "at_the_test_checkout")]

BREAK = "Headshots are paused for maintenance"
NO_PHOTOS = "Uploads are paused for maintenance"


@pytest.mark.parametrize("address", ["/", "/pricing/", "/shoots/new/", "/shoots/{shoot}/order/"])
def test_a_pause_of_rendering_is_told_before_anybody_pays_and_while_it_lasts(
    browser: Client, shoot: Shoot, address: str
) -> None:
    address = address.format(shoot=shoot.pk)
    pauses.pause(Pause.Part.RENDERING)
    during = browser.get(address).content.decode()
    pauses.resume(Pause.Part.RENDERING)
    after = browser.get(address).content.decode()

    assert BREAK in during
    assert "automatically" in during
    assert BREAK not in after
    if "Order and pay" in after:
        assert during.index(BREAK) < during.index("Order and pay")


def test_an_order_during_a_pause_of_rendering_is_taken_and_no_time_is_promised(browser: Client, shoot: Shoot) -> None:
    pauses.pause(Pause.Part.RENDERING)
    address = f"/shoots/{shoot.pk}/order/"

    page = browser.get(address).content.decode()
    answer = browser.post(address, {"styles": [look.name for look in looks()], "known_orders": "0", "begin_now": "on"})

    assert "Starts when maintenance is finished." in page
    assert "minutes" not in page
    assert "so we can finish" not in page
    assert answer.status_code == 303
    assert Payment.objects.get().state == Payment.State.OPEN


@pytest.mark.parametrize("address", ["/", "/pricing/", "/shoots/new/"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_a_pause_of_uploads_is_told_where_an_upload_would_begin(
    client: Client, person: User, address: str, signed_in: bool
) -> None:
    if signed_in:
        client.force_login(person)
    pauses.pause(Pause.Part.UPLOADS)

    page = client.get(address, follow=True).content.decode()

    # Whoever is not signed in is led to do so first.
    assert (NO_PHOTOS in page) == (signed_in or address != "/shoots/new/")
    assert "now, upload later" not in page


def test_nothing_is_sold_for_an_upload_that_would_be_refused(browser: Client, shoot: Shoot) -> None:
    opened_before = browser.get("/pricing/").content.decode()
    pauses.pause(Pause.Part.UPLOADS)

    answer = browser.post("/pricing/")
    order_page = browser.get(f"/shoots/{shoot.pk}/order/").content.decode()

    assert "now, upload later" in opened_before
    assert answer.status_code == 409
    assert "You weren’t charged. Please try again later." in answer.content.decode()
    assert not Payment.objects.exists()
    # Its photos are here.
    assert "Order and pay" in order_page


@pytest.mark.parametrize("address", ["/pricing/", "/payments/"])
def test_who_has_a_pack_reads_that_it_waits_with_them(browser: Client, person: User, address: str) -> None:
    Credit.objects.create(owner=person, source="grant")
    pauses.pause(Pause.Part.UPLOADS)

    page = browser.get(address).content.decode()

    assert f"<strong>{NO_PHOTOS}.</strong> Please try again in a little while. You won’t lose your pack." in page
    assert "Upload a photo</a>" not in page


def test_a_pause_in_mid_pack_is_said_in_one_voice(browser: Client, shoot: Shoot) -> None:
    pack = Pack.objects.get(shoot=shoot)
    advance(pack, Pack.State.RENDERING)
    pauses.pause(Pause.Part.RENDERING)

    page = browser.get(f"/shoots/{shoot.pk}/").content.decode()

    assert "Your headshots are on hold." in page
    assert "Making your headshots" not in page
