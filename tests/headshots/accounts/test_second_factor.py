"""Staff's second factor: asked for by setting, set up on the way, kept encrypted."""

import re
import time
from collections.abc import Iterator

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.conf import LazySettings
from django.test import Client
from time_machine import travel

from headshots.accounts.models import Session, User
from tests.helpers.factories import PASSWORD
from tests.helpers.staff import make_staff

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def demanded(settings: LazySettings) -> None:
    settings.HEADSHOTS_STAFF_TWO_FACTOR = True


@pytest.fixture(autouse=True)
def early_in_a_period() -> Iterator[None]:
    """Begin five seconds into a period of 30 seconds, so that no code expires on its way."""
    with travel(time.time() // 30 * 30 + 5):
        yield


@pytest.fixture
def staff() -> User:
    return make_staff("owner")


def sign_in(client: Client, user: User) -> str:
    """Where the password leads."""
    form = {"login": user.email, "password": PASSWORD}
    return client.post("/accounts/login/?next=/admin/", {**form, "next": "/admin/"}).url


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def begin_set_up(client: Client) -> str:
    """Return the secret that the page for setting up shows this signed-in client."""
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/").content.decode()
    secret = re.search(r"<code>([A-Z2-7]+)</code>", page)
    assert secret
    return secret[1]


def set_up(client: Client) -> str:
    """Return the secret of the second factor that this signed-in client has set up, half a minute ago."""
    secret = begin_set_up(client)
    with travel(time.time() - 30):
        client.post("/accounts/2fa/totp/activate/", {"code": code(secret)})
    return secret


def is_signed_in(client: Client) -> bool:
    return client.get("/account/").status_code == 200


def test_staff_without_one_is_led_to_set_it_up(client: Client, staff: User) -> None:
    sign_in(client, staff)

    answer = client.get("/admin/", follow=True)

    form = {"password": PASSWORD, "next": "/accounts/2fa/totp/activate/"}
    page = client.post("/accounts/reauthenticate/", form, follow=True).content.decode()

    way = [step for step, _ in answer.redirect_chain]
    assert way[1].startswith("/accounts/2fa/totp/activate/")
    assert way[2].startswith("/accounts/reauthenticate/"), "the password once more, before anything is set up"
    assert "<svg" in page
    assert "data:" not in page
    for address in (
        "/admin/health/",
        "/admin/tables/funnel.csv",
        "/admin/shoots/pack/",
        "/admin/actions/pause/uploads/",
    ):
        assert client.get(address).status_code == 302


def test_with_one_it_takes_password_and_code(client: Client, staff: User) -> None:
    sign_in(client, staff)
    secret = set_up(client)
    other = Client()

    asked = sign_in(other, staff)
    closed = other.get("/admin/").status_code
    wrong = other.post("/accounts/2fa/authenticate/", {"code": "000000"}).status_code
    other.post("/accounts/2fa/authenticate/", {"code": code(secret)})

    assert asked == "/accounts/2fa/authenticate/"
    assert closed == 302
    assert wrong == 200
    assert other.get("/admin/").status_code == 200


def test_whoever_has_just_set_it_up_is_not_asked_again(client: Client, staff: User) -> None:
    sign_in(client, staff)
    set_up(client)

    assert client.get("/admin/").status_code == 200


def test_a_wrong_first_code_opens_nothing(client: Client, staff: User) -> None:
    sign_in(client, staff)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    client.get("/accounts/2fa/totp/activate/")

    refused = client.post("/accounts/2fa/totp/activate/", {"code": "000000"})

    assert refused.status_code == 200
    assert client.get("/admin/").status_code == 302
    assert not Authenticator.objects.exists()


def test_setting_it_up_ends_every_other_session(client: Client, staff: User) -> None:
    stolen = Client()
    sign_in(client, staff)
    sign_in(stolen, staff)
    copied = Client()
    copied.cookies["sessionid"] = client.cookies["sessionid"].value

    set_up(client)

    assert client.get("/admin/").status_code == 200
    assert not is_signed_in(stolen)
    assert not is_signed_in(copied), "the session key from before is void"
    assert Session.objects.filter(account_id=staff.pk).count() == 1


def test_removing_it_ends_every_other_session_and_the_way_into_the_admin(client: Client, staff: User) -> None:
    other = Client()
    sign_in(client, staff)
    secret = set_up(client)
    sign_in(other, staff)
    other.post("/accounts/2fa/authenticate/", {"code": code(secret)})
    assert other.get("/admin/").status_code == 200

    client.post("/accounts/2fa/totp/deactivate/")

    assert not Authenticator.objects.exists()
    assert not is_signed_in(other)
    assert is_signed_in(client)
    asked = client.get("/admin/", follow=True).redirect_chain[-1][0]
    assert asked.startswith("/accounts/2fa/totp/activate/"), "a factor that is gone opens nothing"


def password_only(user: User) -> Client:
    """Return a browser with a session such as a thief may still have: signed in without a code."""
    thief = Client()
    thief.force_login(user)
    return thief


def test_codes_and_removal_need_the_factor_and_not_the_password(client: Client, staff: User) -> None:
    sign_in(client, staff)
    set_up(client)
    before = list(Authenticator.objects.order_by("pk").values_list("pk", flat=True))
    thief = password_only(staff)

    answers = [thief.post("/accounts/reauthenticate/", {"password": PASSWORD})]
    pages = [f"/accounts/2fa/{page}/" for page in ("recovery-codes/generate", "totp/deactivate")]
    answers += [thief.post(page) for page in pages]
    answers += [thief.get(page) for page in (*pages, "/accounts/2fa/recovery-codes/")]
    answers.append(thief.get("/accounts/2fa/recovery-codes/download/"))

    for answer in answers:
        assert answer.status_code == 302
        assert answer.url.startswith("/accounts/2fa/reauthenticate/")
    assert list(Authenticator.objects.order_by("pk").values_list("pk", flat=True)) == before
    assert thief.get("/admin/").status_code == 302


def test_the_factor_itself_lets_its_owner_see_the_codes_and_remove_it(client: Client, staff: User) -> None:
    sign_in(client, staff)
    secret = set_up(client)
    later = password_only(staff)

    later.post("/accounts/2fa/reauthenticate/", {"code": code(secret), "next": "/admin/"})

    assert later.get("/accounts/2fa/recovery-codes/").content.count(b"<li><code>") == 10
    assert later.get("/admin/").status_code == 200
    later.post("/accounts/2fa/totp/deactivate/")
    assert not Authenticator.objects.exists()


def test_the_code_that_set_it_up_signs_no_other_browser_in(client: Client, staff: User) -> None:
    other = Client()
    sign_in(client, staff)
    secret = begin_set_up(client)
    with travel(time.time(), tick=False):
        client.post("/accounts/2fa/totp/activate/", {"code": code(secret)})
        sign_in(other, staff)
        replayed = other.post("/accounts/2fa/authenticate/", {"code": code(secret)})

    assert client.get("/admin/").status_code == 200
    assert replayed.status_code == 200
    assert not is_signed_in(other)


def test_a_recovery_code_opens_once(client: Client, staff: User) -> None:
    sign_in(client, staff)
    set_up(client)
    page = client.get("/accounts/2fa/recovery-codes/").content.decode()
    recovery = re.findall(r"<li><code>([0-9A-Za-z-]+)</code>", page)
    first, second = Client(), Client()
    for each in (first, second):
        sign_in(each, staff)
        each.post("/accounts/2fa/authenticate/", {"code": recovery[0]})

    assert len(recovery) == 10
    assert first.get("/admin/").status_code == 200
    assert second.get("/admin/").status_code == 302


def test_without_the_setting_the_password_is_enough(client: Client, staff: User, settings: LazySettings) -> None:
    settings.HEADSHOTS_STAFF_TWO_FACTOR = False

    assert sign_in(client, staff) == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_customers_are_asked_for_nothing(client: Client, person: User) -> None:
    client.force_login(person)

    assert client.get("/shoots/").status_code == 200
    assert client.get("/admin/", follow=True).status_code == 403


def test_secrets_lie_encrypted_and_are_in_no_admin_page(client: Client, staff: User, settings: LazySettings) -> None:
    settings.HEADSHOTS_STAFF_TWO_FACTOR = False
    sign_in(client, staff)
    secret = set_up(client)
    stored = Authenticator.objects.get(type=Authenticator.Type.TOTP)

    assert secret not in str(stored.data)
    assert client.get("/admin/mfa/authenticator/").status_code == 404
    page = client.get(f"/admin/accounts/user/{staff.pk}/change/").content.decode()
    assert secret not in page
    assert stored.data["secret"] not in page
