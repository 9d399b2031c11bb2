"""Attacks on accounts: forged hosts, guessed passwords, addresses of other people, headers without sense."""

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from allauth.account.models import EmailAddress
from allauth.core.context import request_context
from django.conf import LazySettings
from django.core import mail
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory
from time_machine import Traveller, travel

from headshots.accounts.adapters import AccountAdapter
from headshots.accounts.email_addresses import normalize_email
from headshots.accounts.models import User
from tests.helpers.factories import PASSWORD, make_delivered, make_user

pytestmark = pytest.mark.django_db

SITE = "https://shots.example.org"
FORGED = {"HTTP_HOST": "evil.example.net"}


@pytest.fixture
def site(settings: LazySettings) -> None:
    """Answer to any host and send mail, as an installation behind a careless proxy does."""
    settings.ALLOWED_HOSTS = ["*"]
    settings.HEADSHOTS_SITE_URL = SITE
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    settings.ACCOUNT_EMAIL_NOTIFICATIONS = True


def links() -> Iterator[str]:
    for message in mail.outbox:
        text = f"{message.subject}\n{message.body}"
        assert "evil" not in text, text
        yield from re.findall(r"https?://\S+", text)


@pytest.mark.usefixtures("site")
def test_links_in_mails_lead_to_the_site_whatever_host_a_request_names() -> None:
    known = make_user()
    EmailAddress.objects.create(user=known, email=known.email, primary=True, verified=True)
    stranger, another, owner = Client(**FORGED), Client(**FORGED), Client(**FORGED)
    owner.force_login(known)

    stranger.post("/accounts/password/reset/", {"email": known.email})
    stranger.post("/accounts/signup/", {"email": known.email, "password1": PASSWORD})
    another.post("/accounts/signup/", {"email": "new@example.org", "password1": PASSWORD})
    owner.post("/accounts/email/", {"action_add": "", "email": "second@example.org"})
    changed = {"oldpassword": PASSWORD, "password1": "another fine phrase", "password2": "another fine phrase"}
    owner.post("/accounts/password/change/", changed)

    found = list(links())
    assert len(mail.outbox) == 5
    assert len(found) == 4, "one each, and none in the notice of a new password"
    assert all(link.startswith(f"{SITE}/accounts/") for link in found)
    path = found[0].removeprefix(SITE)
    assert stranger.get(path, follow=True).status_code == 200


def test_a_referer_that_is_no_address_is_no_error() -> None:
    for referer in ("http://[", "http://[::1", "//[", "\udcff"):
        answer = Client(HTTP_USER_AGENT="Mozilla/5.0 Firefox/140.0").get("/", headers={"referer": referer})
        assert answer.status_code == 200


@pytest.mark.parametrize("after", ["http://[", "//[", "http://[::1", "/\0"])
def test_a_next_page_that_is_no_address_is_no_error(after: str) -> None:
    person, stranger = Client(), Client()
    person.force_login(make_user())

    for page in ("login/", "signup/", "2fa/authenticate/", "password/reset/"):
        assert stranger.get(f"/accounts/{page}", {"next": after}).status_code in (200, 302)
    for page in ("reauthenticate/", "2fa/totp/activate/", "logout/"):
        assert person.get(f"/accounts/{page}", {"next": after}).status_code in (200, 302)
    assert person.get("/admin/login/", {"next": after}).status_code == 403


def test_secrets_of_an_installation_are_ignored_by_git_and_stay_out_of_images() -> None:
    root = Path(__file__).parents[3]

    assert ".env" in (root / ".gitignore").read_text().splitlines()
    assert "**/.env" in (root / ".dockerignore").read_text().splitlines()


def test_the_broker_keeps_no_address_and_no_plain_hash_of_one(valkey: redis.Redis) -> None:
    known = make_user()
    client = Client(REMOTE_ADDR="203.0.113.7")

    client.post("/accounts/login/", {"login": known.email, "password": "wrong"})
    client.post("/accounts/password/reset/", {"email": known.email})

    names = b" ".join(valkey.keys()).decode()
    assert names, "attempts are counted in the shared cache"
    assert "203.0.113.7" not in names
    for text in (known.email, f"testserver:{known.email}", "203.0.113.7"):
        assert hashlib.sha256(text.encode()).hexdigest() not in names


def guess(times: int, address: str, *, ip: str = "203.0.113.66") -> None:
    stranger = Client(REMOTE_ADDR=ip)
    for _ in range(times):
        stranger.post("/accounts/login/", {"login": address, "password": "a wrong guess"})


def signs_in(browser: Client, address: str, password: str = PASSWORD) -> bool:
    return browser.post("/accounts/login/", {"login": address, "password": password}).status_code == 302


def test_a_stranger_locks_no_owner_out_of_a_browser_that_the_account_knows() -> None:
    owner = make_user()
    at_home = Client(REMOTE_ADDR="198.51.100.1")
    assert signs_in(at_home, owner.email)
    at_home.post("/accounts/logout/")
    guess(6, owner.email)
    guess(10, owner.email, ip="198.51.100.1")

    assert not signs_in(Client(REMOTE_ADDR="192.0.2.9"), owner.email), (
        "unknown browsers wait, the right password or not"
    )
    assert signs_in(at_home, owner.email)


def test_a_known_browser_has_five_attempts_and_knows_no_other_account() -> None:
    owner, other = make_user(), make_user()
    browser = Client()
    signs_in(browser, owner.email)
    browser.post("/accounts/logout/")
    forged = Client()
    forged.cookies["known_browser"] = browser.cookies["known_browser"].value[:-1] + "x"
    guess(5, other.email)
    guess(5, owner.email, ip="203.0.113.67")

    assert not signs_in(browser, other.email)
    assert not signs_in(forged, owner.email)
    for _ in range(5):
        signs_in(browser, owner.email, "a wrong guess")
    assert not signs_in(browser, owner.email)


def test_a_visitor_with_a_network_of_ipv6_has_the_limits_of_one_address() -> None:
    def ask(address: str) -> int:
        return Client(REMOTE_ADDR=address).post("/verify/").status_code

    answers = [ask(f"2001:db8::{number:x}") for number in range(21)]

    assert answers == [422] * 20 + [429]
    assert ask("2001:db8:0:1::1") == 422


def test_the_longer_an_attack_lasts_the_fewer_guesses_it_has() -> None:
    owner = make_user()
    with travel(time.time(), tick=False) as clock:
        for _ in range(3):
            assert [looked_at(5, owner.email, clock, minutes=6) for _ in range(5)] == [5, 5, 5, 5, 0], "20 an hour"
            clock.shift(45 * 60)
        assert looked_at(5, owner.email, clock, minutes=6) == 0, "60 a day"


def looked_at(guesses: int, address: str, clock: Traveller, *, minutes: int) -> int:
    """Return how many of these wrong passwords, each from another IP address, were not refused at once."""
    clock.shift(minutes * 60)
    return sum(not refused(address, ip=f"203.0.113.{number}") for number in range(guesses))


def refused(address: str, *, ip: str) -> bool:
    """Return True if this wrong password was not even looked at."""
    request = RequestFactory(REMOTE_ADDR=ip).post("/accounts/login/")
    with request_context(request):
        try:
            AccountAdapter().pre_authenticate(request, email=address)
        except ValidationError:
            return True
    return False


def test_whoever_reads_the_mail_of_an_account_gets_in_while_others_guess() -> None:
    owner = make_user()
    browser = Client(REMOTE_ADDR="198.51.100.2")
    browser.post("/accounts/password/reset/", {"email": owner.email})
    link = re.search(r"/accounts/password/reset/key/\S+", mail.outbox[0].body)
    assert link
    form = browser.get(link[0], follow=True).redirect_chain[-1][0]
    browser.post(form, {"password1": "another fine phrase", "password2": "another fine phrase"})
    guess(6, owner.email)

    assert signs_in(browser, owner.email, "another fine phrase")


def test_an_address_of_another_account_is_not_attached_without_mail() -> None:
    victim, thief = make_user("ada@example.org"), make_user()
    browser = Client()
    browser.force_login(thief)

    for spelling in ("ada@example.org", "ADA@Example.org"):
        page = browser.post("/accounts/email/", {"action_add": "", "email": spelling})
        assert "An account with this email already exists" in page.content.decode()

    assert not EmailAddress.objects.filter(user=thief, email=victim.email).exists()


def test_an_address_that_was_attached_before_becomes_nobodys_second_name() -> None:
    victim, thief = make_user("ada@example.org"), make_user()
    EmailAddress.objects.create(user=thief, email=victim.email)
    browser = Client()
    browser.force_login(thief)

    for spelling in (victim.email, victim.email.upper()):
        answer = browser.post("/accounts/email/", {"action_primary": "", "email": spelling}, follow=True)
        assert "An account with this email already exists" in answer.content.decode()

    stranger = Client()
    assert stranger.post("/accounts/email/", {"action_primary": "", "email": victim.email}).status_code == 302
    thief.refresh_from_db()
    assert thief.email != victim.email


SPELLINGS = ("c@exämple.de", " C@EXÄMPLE.DE", "c@XN--EXMPLE-CUA.de", "c@exa\u0308mple.de")
OTHERS = ("c@exämple。de", "ｃ@ｅxämple.de", "c@exämple.de.", "c@xn--exmple-cua.de.")


@pytest.mark.parametrize("spelling", [*SPELLINGS, *OTHERS])
def test_an_address_has_one_spelling(spelling: str) -> None:
    assert normalize_email(spelling) == "c@xn--exmple-cua.de"


def test_what_is_no_address_stays_for_validation_to_refuse() -> None:
    assert [normalize_email(text) for text in ("", "Ada", "@", "a@ä..b", "a@-ä-")] == [
        "",
        "ada",
        "@",
        "a@ä..b",
        "a@-ä-",
    ]


def test_one_mailbox_is_one_account_in_every_spelling_of_its_domain() -> None:
    first = Client()
    first.post("/accounts/signup/", {"email": "c@xn--exmple-cua.de", "password1": PASSWORD})
    for spelling in SPELLINGS:
        page = Client().post("/accounts/signup/", {"email": spelling, "password1": PASSWORD})
        assert page.status_code == 200, spelling
        assert signs_in(Client(), spelling), spelling

    account = User.objects.get()
    assert account.email == "c@xn--exmple-cua.de"
    assert EmailAddress.objects.get().email == account.email


def test_a_mail_goes_to_the_address_that_the_account_has() -> None:
    account = make_user("c@faß.de")

    Client().post("/accounts/password/reset/", {"email": "c@faß.de"})

    assert account.email == "c@xn--fa-hia.de"
    assert [message.to for message in mail.outbox] == [[account.email]]


def test_commands_and_staff_find_an_account_in_every_spelling() -> None:
    call_command("createsuperuser", "--noinput", email="D@exämple.de")
    account = User.objects.get()
    make_delivered(account)
    EmailAddress.objects.create(user=account, email=account.email)

    with pytest.raises(CommandError, match="already taken"):
        call_command("createsuperuser", "--noinput", email="d@xn--exmple-cua.de")
    assert User.objects.get_by_natural_key("d@EXÄMPLE.de") == account
    staff = Client()
    staff.force_login(account)
    for page in ("accounts/user", "shoots/shoot", "account/emailaddress"):
        found = staff.get(f"/admin/{page}/", {"q": "d@exämple.de"})
        assert "1 " in found.content.decode().split('class="paginator"')[1], page
