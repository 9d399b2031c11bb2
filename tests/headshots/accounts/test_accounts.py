"""Signing up, in and out; passwords; what is said to whom, and what is kept of an address."""

import re
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.conf import LazySettings
from django.conf import settings as product
from django.contrib.auth.models import Group
from django.core import mail
from django.db import IntegrityError, transaction
from django.template.loader import render_to_string
from django.test import Client

from headshots.accounts.models import User

pytestmark = pytest.mark.django_db

PASSWORD = "a fine long password"


@pytest.fixture
def account() -> User:
    return User.objects.create_user("ada@example.org", PASSWORD)


@pytest.fixture
def confirmed_addresses(settings: LazySettings) -> None:
    """As in an installation that has a mail server."""
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"


def sign_up(client: Client, email: str, password: str = PASSWORD) -> "object":
    return client.post("/accounts/signup/", {"email": email, "password1": password})


def sign_in(client: Client, email: str, password: str = PASSWORD, **more: str) -> "object":
    return client.post("/accounts/login/", {"login": email, "password": password, **more})


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_signing_up_needs_an_address_and_a_password_and_leads_to_the_upload(client: Client) -> None:
    response = sign_up(client, "Ada@Example.org")

    assert response.status_code == 302
    assert response.url == "/shoots/new/"
    assert is_signed_in(client)
    assert User.objects.get().email == "ada@example.org"


def test_the_sign_up_form_asks_for_nothing_else(client: Client) -> None:
    page = client.get("/accounts/signup/").content.decode()

    fields = set(re.findall(r'<input[^>]* name="([^"]+)"', page))
    assert fields == {"csrfmiddlewaretoken", "email", "password1"}


@pytest.mark.parametrize("password", ["12345678", "password", "short", "ada@example.org"])
def test_a_weak_password_is_refused_with_the_reason(client: Client, password: str) -> None:
    response = sign_up(client, "ada@example.org", password)

    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    assert not User.objects.exists()


def test_signing_up_twice_is_refused_with_a_way_out(client: Client, account: User) -> None:
    response = sign_up(client, "ADA@example.org")

    page = response.content.decode()
    assert "An account with this email already exists" in page
    assert "/accounts/login/" in page
    assert User.objects.count() == 1


@pytest.mark.usefixtures("confirmed_addresses")
def test_with_a_mail_server_signing_up_does_not_tell_who_has_an_account(client: Client, account: User) -> None:
    known = sign_up(client, account.email)
    unknown = sign_up(Client(), "nobody-yet@example.org")

    assert (known.status_code, known.url) == (unknown.status_code, unknown.url)
    assert not is_signed_in(client)
    assert User.objects.filter(email=account.email).count() == 1


@pytest.mark.usefixtures("confirmed_addresses")
def test_with_a_mail_server_the_link_in_the_mail_confirms_the_address(client: Client) -> None:
    sign_up(client, "ada@example.org")
    link = re.search(r"/accounts/confirm-email/\S+", mail.outbox[0].body)
    assert link

    page = client.get(link[0])
    confirmed = client.post(link[0])

    assert "ada@example.org" in page.content.decode()
    assert confirmed.status_code == 302
    assert EmailAddress.objects.get().verified


def test_signing_in_leads_to_the_upload(client: Client, account: User) -> None:
    response = sign_in(client, "Ada@Example.org")

    assert response.url == "/shoots/new/"


def test_signing_in_leads_to_the_page_that_asked_for_it(client: Client, account: User) -> None:
    asked = client.get("/shoots/")
    page = client.get(asked.url).content.decode()
    response = sign_in(client, account.email, next="/shoots/")

    assert asked.url == "/accounts/login/?next=/shoots/"
    assert 'name="next" value="/shoots/"' in page
    assert response.url == "/shoots/"


def test_signing_in_never_leads_to_another_site(client: Client, account: User) -> None:
    response = sign_in(client, account.email, next="https://elsewhere.example.org/")

    assert response.url == "/shoots/new/"


def test_a_wrong_password_and_an_unknown_address_are_answered_alike(client: Client, account: User) -> None:
    words = "The email or password is incorrect"

    assert words in sign_in(client, account.email, "a wrong password").content.decode()
    assert words in sign_in(client, "nobody@example.org").content.decode()


def test_guessing_a_password_is_stopped_even_when_the_last_guess_is_right(client: Client, account: User) -> None:
    for _ in range(5):
        sign_in(client, account.email, "a wrong password")

    response = sign_in(client, account.email)

    assert "Too many attempts" in response.content.decode()
    assert not is_signed_in(client)


def test_signing_out_asks_first(client: Client, account: User) -> None:
    client.force_login(account)

    response = client.get("/accounts/logout/")

    assert response.status_code == 200
    assert is_signed_in(client)


def test_signing_out_has_the_browser_forget(client: Client, account: User) -> None:
    client.force_login(account)

    response = client.post("/accounts/logout/")

    assert response.url == "/"
    assert response["Clear-Site-Data"] == '"cache", "storage"'
    assert not is_signed_in(client)


def test_a_forgotten_password_is_replaced_through_the_mail(client: Client, account: User) -> None:
    client.post("/accounts/password/reset/", {"email": account.email})
    link = re.search(r"/accounts/password/reset/key/\S+", mail.outbox[0].body)
    assert link
    form = client.get(link[0], follow=True).redirect_chain[-1][0]

    client.post(form, {"password1": "another fine password", "password2": "another fine password"})

    account.refresh_from_db()
    assert account.check_password("another fine password")


def test_asking_for_a_strangers_password_sends_nothing_and_says_nothing(client: Client, account: User) -> None:
    known = client.post("/accounts/password/reset/", {"email": account.email})
    unknown = client.post("/accounts/password/reset/", {"email": "nobody@example.org"})

    assert (known.status_code, known.url) == (unknown.status_code, unknown.url)
    assert [message.to for message in mail.outbox] == [[account.email]]


def test_mail_without_a_server_is_a_file_that_only_the_operator_reads(
    client: Client, account: User, settings: LazySettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    settings.EMAIL_BACKEND = "headshots.runtime.mail_files.PrivateFileEmailBackend"
    settings.EMAIL_FILE_PATH = tmp_path / "mail"

    client.post("/accounts/password/reset/", {"email": account.email})

    (file,) = (tmp_path / "mail").iterdir()
    assert account.email in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert str(file) in caplog.text
    assert account.email not in caplog.text


def test_the_admin_is_entered_through_the_same_door(client: Client, account: User) -> None:
    stranger = client.get("/admin/", follow=True)
    client.force_login(account)
    not_staff = client.get("/admin/", follow=True)
    client.force_login(User.objects.create_superuser("staff@example.org", PASSWORD))
    staff = client.get("/admin/accounts/user/")

    assert stranger.redirect_chain[-1][0].startswith("/accounts/login/")
    assert not_staff.status_code == 403
    assert staff.status_code == 200


def edit_account(client: Client, account: User, **changes: str) -> None:
    """Sends the admin's form of an account, with everything that a browser could be made to send."""
    form = {"email": account.email, "is_active": "on", "password": "x", "reason": "a test", **changes}
    assert client.post(f"/admin/accounts/user/{account.pk}/change/", form).status_code == 302


def test_no_staff_takes_over_an_account(client: Client, account: User) -> None:
    client.force_login(User.objects.create_superuser("staff@example.org", PASSWORD))
    before = account.password

    edit_account(client, account, email="mine@example.org", is_active="")
    password = client.post(
        f"/admin/accounts/user/{account.pk}/password/",
        {"usable_password": "true", "password1": "a new pass phrase", "password2": "a new pass phrase"},
    )

    account.refresh_from_db()
    assert (account.email, account.is_active, account.password) == ("ada@example.org", True, before)
    assert password.status_code == 404
    assert "pbkdf2" not in client.get(f"/admin/accounts/user/{account.pk}/change/").content.decode()


def test_owners_make_nobody_a_superuser(client: Client, account: User) -> None:
    owner = User.objects.create_user("owner@example.org", PASSWORD, is_staff=True)
    owner.groups.add(Group.objects.get(name="owner"))
    client.force_login(owner)

    edit_account(client, account, is_staff="on", is_superuser="on")
    edit_account(client, owner, is_staff="on", is_superuser="on", groups=str(owner.groups.get().pk))

    assert User.objects.get(pk=account.pk).is_staff
    assert not User.objects.filter(is_superuser=True).exists()


def test_the_admin_deletes_no_account_since_its_pictures_would_stay(client: Client, account: User) -> None:
    client.force_login(User.objects.create_superuser("staff@example.org", PASSWORD))

    refused = client.post(f"/admin/accounts/user/{account.pk}/delete/", {"post": "yes"})

    assert refused.status_code == 403
    assert "available here" in refused.content.decode()
    assert "manage delete_account" in refused.content.decode()
    assert User.objects.filter(pk=account.pk).exists()


def test_one_address_is_one_account_in_any_case(account: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User(email="ADA@example.org").save()


def test_an_account_without_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="address"):
        User.objects.create_user("")


def test_staff_see_addresses_and_can_change_them_nowhere_but_in_the_account(client: Client, account: User) -> None:
    address = EmailAddress.objects.create(user=account, email=account.email, primary=True)
    client.force_login(User.objects.create_superuser("staff@example.org", PASSWORD))

    assert client.get("/admin/account/emailaddress/").status_code == 200
    assert client.post(f"/admin/account/emailaddress/{address.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_deactivated_account_is_told_whom_to_ask(client: Client, settings: LazySettings) -> None:
    assert "mailto:" not in client.get("/accounts/inactive/").content.decode()

    settings.HEADSHOTS_SUPPORT_EMAIL = "support@example.org"

    page = client.get("/accounts/inactive/").content.decode()
    assert "This account has been deactivated" in page
    assert '<a href="mailto:support@example.org">' in page


def test_every_email_of_an_account_goes_on_with_a_capital_letter() -> None:
    folder = Path(product.BASE_DIR) / "templates" / "account" / "email"
    bodies = [render_to_string(str(path), {"notification_message": "Done."}) for path in folder.glob("*_message.txt")]

    assert len(bodies) == 4
    for body in bodies:
        lines = [line for line in body.splitlines() if line.strip()]
        assert lines[0] == "Hello,"
        assert len(lines) == 2 or lines[1][0].isupper(), body
