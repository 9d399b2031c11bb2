"""What support sees of a shoot: what happened, and no picture; finished headshots with leave, written down."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from headshots.accounts.models import User
from headshots.dashboard.models import AuditLogEntry
from headshots.retention.purging import purge_shoot
from headshots.shoots.delivery.mails import send_delivery_mail
from headshots.shoots.models import Event, Pack, Photo
from headshots.shoots.packs import rendering
from tests.helpers.factories import deliver, make_preview, make_shoot, make_user
from tests.helpers.staff import client_of, do, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]


@pytest.fixture
def pack(person: User) -> Pack:
    """Delivered. No engine made its headshots: here it only matters who may see them."""
    pack = make_preview(person)
    deliver(pack)
    return pack


@pytest.fixture
def rendered_pack(person: User) -> Pack:
    """Delivered by the engine."""
    pack = make_preview(person)
    rendering.render_pack(pack=pack)
    return pack


@pytest.fixture
def browser(person: User) -> Client:
    return signed_in(person)


def timeline(pack: Pack) -> str:
    return f"/admin/support/{pack.shoot_id}/"


def gallery(pack: Pack) -> str:
    return f"{timeline(pack)}headshots/"


def picture(pack: Pack) -> str:
    return f"{gallery(pack)}{pack.headshots.first().pk}.jpg"


def access_page(pack: Pack) -> str:
    return f"/shoots/{pack.shoot_id}/support/"


def test_the_timeline_tells_everything_in_order_and_shows_no_picture(rendered_pack: Pack) -> None:
    pack, support = rendered_pack, client_of("support")
    do(support, "purge-photos", pack.shoot)
    purge_shoot(shoot=pack.shoot)

    page = support.get(timeline(pack)).content.decode()

    told = ("consent given", "shoot: opened", "photo: accepted", "pack: queued", "pack: rendered", "pack: delivered")
    gone = ("Delete photos now", "shoot: purging", "photo key destroyed", "shoot: purged")
    places = [page.index(words) for words in told]
    assert places == sorted(places)
    assert all(words in page for words in gone)
    assert "because it helps" in page
    assert '<img src="/admin' not in page
    assert ".jpg" not in page
    assert pack.shoot.owner.email not in page


def test_the_timeline_tells_when_the_delivery_mail_left(rendered_pack: Pack) -> None:
    pack = rendered_pack
    Pack.objects.filter(pk=pack.pk).update(mail_due=True)

    send_delivery_mail(pack=pack)

    page = client_of("support").get(timeline(pack)).content.decode()
    assert page.count("pack: mailed") == 1
    assert "reasons: []" not in page


@pytest.mark.parametrize("who", ["finance", "staff", "person", "nobody"])
def test_others_see_nothing_of_a_shoot(pack: Pack, browser: Client, who: str) -> None:
    browser.post(access_page(pack))
    client = client_of(who)

    for address in (timeline(pack), gallery(pack), picture(pack)):
        assert client.get(address).status_code in (302, 403)


def test_without_leave_nobody_sees_a_headshot(pack: Pack) -> None:
    for who in ("owner", "support"):
        client = client_of(who)
        question = client.get(f"/admin/actions/view-headshots/{pack.shoot_id}/").content.decode()

        assert "given support access. They can do so" in question
        closed = client.get(gallery(pack))
        assert closed.status_code == 403
        assert "The customer hasn't given support access" in closed.content.decode()
        assert client.get(picture(pack)).status_code == 403
    assert not Event.objects.filter(name__startswith="shoot.support").exists()


def test_with_leave_support_says_why_then_looks_and_the_person_is_told(pack: Pack, browser: Client) -> None:
    support, other = client_of("support"), client_of("support")
    browser.post(access_page(pack))

    before = support.get(picture(pack)).status_code
    asked, unlinked = support.get(gallery(pack)), support.get(timeline(pack)).content.decode()
    answer = do(support, "view-headshots", pack.shoot)
    page = support.get(gallery(pack))
    shown = support.get(picture(pack))

    assert (before, asked.status_code) == (403, 403)
    assert "Give a reason first" in asked.content.decode()
    assert f'href="/admin/actions/view-headshots/{pack.shoot_id}/"' in asked.content.decode()
    assert gallery(pack) not in unlinked
    assert gallery(pack) in support.get(timeline(pack)).content.decode()
    assert answer.url == gallery(pack)
    assert page.content.decode().count('.jpg" alt="Headshot') == 4
    assert shown.content[:2] == b"\xff\xd8"
    assert "no-store" in shown["Cache-Control"]
    assert other.get(picture(pack)).status_code == 403, "who has not said why"
    assert AuditLogEntry.objects.get().shoot_id == pack.shoot_id
    assert Event.objects.get(name="shoot.support_viewed").actor == "staff"
    assert "Viewed by support" in browser.get(access_page(pack)).content.decode()


def test_leave_ends_by_itself_after_a_day_and_at_once_when_it_is_taken_back(pack: Pack, browser: Client) -> None:
    support = client_of("support")
    browser.post(access_page(pack))
    do(support, "view-headshots", pack.shoot)

    with time_machine.travel(timezone.now() + timedelta(hours=24, seconds=1)):
        after_a_day = support.get(picture(pack)).status_code
    browser.post(access_page(pack), {"end": "1"})
    taken_back = support.get(picture(pack)).status_code
    ended = support.get(gallery(pack)).content.decode()
    browser.post(access_page(pack))
    given_again = support.get(picture(pack)).status_code

    assert (after_a_day, taken_back, given_again) == (403, 403, 403)
    assert "It lasts 24 hours" in ended
    assert [event.name for event in Event.objects.filter(name__startswith="shoot.support_").order_by("id")] == [
        "shoot.support_allowed",
        "shoot.support_viewed",
        "shoot.support_ended",
        "shoot.support_allowed",
    ]


def test_a_second_click_makes_the_leave_no_longer(pack: Pack, browser: Client) -> None:
    browser.post(access_page(pack))
    pack.shoot.refresh_from_db()
    until = pack.shoot.support_until

    with time_machine.travel(timezone.now() + timedelta(hours=5)):
        browser.post(access_page(pack))

    pack.shoot.refresh_from_db()
    assert pack.shoot.support_until == until
    assert Event.objects.filter(name="shoot.support_allowed").count() == 1


def test_photos_and_faces_stay_closed_with_leave_as_well(pack: Pack, browser: Client) -> None:
    browser.post(access_page(pack))
    support = client_of("support")
    do(support, "view-headshots", pack.shoot)
    photo = Photo.objects.get()

    assert support.get(f"{gallery(pack)}{photo.pk}.jpg").status_code == 404
    assert support.get(f"/shoots/{pack.shoot_id}/photos/{photo.pk}/faces/0.jpg").status_code == 404
    assert support.get(f"/shoots/{pack.shoot_id}/headshots/{pack.headshots.first().pk}.jpg").status_code == 404


def test_headshots_of_another_shoot_are_not_opened_by_this_ones_leave(pack: Pack, browser: Client) -> None:
    other = make_preview()
    deliver(other)
    browser.post(access_page(pack))
    support = client_of("support")
    do(support, "view-headshots", pack.shoot)

    assert support.get(f"{gallery(pack)}{other.headshots.first().pk}.jpg").status_code == 404
    assert support.get(picture(other)).status_code == 403


def test_leave_is_the_owners_to_give_and_needs_something_to_see(person: User, browser: Client) -> None:
    shoot = make_shoot(person)
    address = f"/shoots/{shoot.pk}/support/"

    for stranger in (Client(), signed_in(make_user())):
        assert stranger.get(address).status_code == 404
        assert stranger.post(address).status_code == 404
    page = browser.get(address).content.decode()
    browser.post(address)

    shoot.refresh_from_db()
    assert "there’s nothing to view" in page
    assert shoot.support_until is None


def test_the_shoots_page_says_who_can_look(pack: Pack, browser: Client) -> None:
    before = browser.get(f"/shoots/{pack.shoot_id}/").content.decode()
    browser.post(access_page(pack))
    after = browser.get(f"/shoots/{pack.shoot_id}/").content.decode()

    assert "Our team can’t see your headshots" in before
    assert "Our support team can view these headshots until" in after


def test_deleting_everything_ends_the_leave(pack: Pack, browser: Client) -> None:
    browser.post(access_page(pack))
    support = client_of("support")
    do(support, "view-headshots", pack.shoot)

    browser.post(f"/shoots/{pack.shoot_id}/delete/")

    assert support.get(gallery(pack)).status_code == 403
