"""The audit log: whatever staff does, by an action or in a plain form, who, to what, when and why."""

import csv
import html
import io
import re
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.test import Client

from headshots.accounts.models import User
from headshots.dashboard.actions.registry import ACTIONS
from headshots.dashboard.models import AuditLogEntry
from headshots.shoots.looks.versions import seed_styles
from headshots.shoots.models import Event, Style
from tests.headshots.dashboard.actions.targets import TARGETS, paid_payment
from tests.helpers.factories import make_preview, make_shoot, make_user
from tests.helpers.staff import EVERYBODY, client_of, do, make_staff, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine", "stripes_test_mode")]

LOG = "/admin/dashboard/auditlogentry/"


@pytest.fixture
def staff() -> User:
    return make_staff("owner")


@pytest.fixture
def owner(staff: User) -> Client:
    return signed_in(staff)


def shown(client: Client, address: str = LOG) -> str:
    return html.unescape(client.get(address).content.decode())


def lines(client: Client, query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(f"{LOG}audit-log.csv{query}").content.decode())))


def edit_account(client: Client, account: User, **answers: object) -> object:
    told = {"email": account.email, "password": "x"} | answers
    return client.post(f"/admin/accounts/user/{account.pk}/change/", told)


def test_a_line_says_who_did_what_to_what_how_much_and_why(owner: Client, staff: User) -> None:
    payment = paid_payment()
    do(owner, "refund", payment, amount="4.50", code="quality")
    entry = AuditLogEntry.objects.get()

    for page in (shown(owner), shown(owner, f"{LOG}{entry.pk}/change/")):
        assert f"{entry.at:%b %-d, %Y, %H:%M:%S}" in page
        assert staff.email in page
        assert f'href="/admin/targets/payment/{payment.pk}/"' in page
        assert f"payment {str(payment.pk)[:8]}" in page
        assert "$4.50" in page
        assert "code: quality" in page
        assert "because it helps" in page


def test_it_is_called_audit_log_everywhere(owner: Client) -> None:
    pack = make_preview()
    do(owner, "cancel-pack", pack)

    assert "<h1>Audit log</h1>" in shown(owner)
    page = shown(owner, f"/admin/shoots/pack/{pack.pk}/change/")
    link = f"{LOG}?target_type=pack&target_id={pack.pk}"
    assert link in page
    assert f"preview pack {str(pack.pk)[:8]}" in shown(owner, link)
    assert "History" not in page
    assert "Audit log entrys" not in shown(owner, "/admin/")
    assert owner.get("/admin/admin/logentry/").status_code == 404
    assert owner.get(f"/admin/shoots/pack/{pack.pk}/history/").url == link
    event, account = Event.objects.first(), User.objects.first()
    for nowhere in (f"shoots/event/{event.pk}", f"shoots/pack/{uuid4()}", "shoots/pack/x", f"auth/user/{account.pk}"):
        assert owner.get(f"/admin/{nowhere}/history/").status_code == 404


def test_a_line_and_its_filter_say_what_the_button_said(owner: Client) -> None:
    do(owner, "grant-credits", make_user())
    AuditLogEntry.objects.create(staff_id=1, action="lend-camera", target_type="account", reason="long ago")

    page = shown(owner)

    for title in (ACTIONS["grant-credits"].title, "Lend camera"):
        assert f'<td class="field-action_title">{title}</td>' in page
        assert re.search(rf'<a href="[^"]*action=[^"]*">\s*{title}</a>', page)
    assert "grant-credits</" not in page
    assert f"{ACTIONS['grant-credits'].title} (1)</a>" in shown(owner, f"{LOG}?_facets=True")


@pytest.mark.parametrize("code", TARGETS)
def test_every_line_leads_to_what_it_is_about(owner: Client, code: str) -> None:
    do(owner, code, TARGETS[code]())
    entry = AuditLogEntry.objects.get()

    page = owner.get(f"/admin/targets/{entry.target_type}/{entry.target_id}/", follow=True)

    assert page.status_code == 200
    assert entry.target_name
    assert "@" not in entry.target_name


def test_what_is_gone_is_told_so_and_keeps_its_name_in_the_log(owner: Client) -> None:
    account = make_user()
    do(owner, "block-account", account)
    number = account.pk
    account.delete()

    gone = owner.get(f"/admin/targets/account/{number}/")

    assert gone.status_code == 404
    assert "may have been deleted" in gone.content.decode()
    assert f"account {number}" in shown(owner)
    for address in ("account/x", "nothing/1", "pack/x"):
        assert owner.get(f"/admin/targets/{address}/").status_code == 404


def test_the_file_has_what_the_list_shows(owner: Client, staff: User) -> None:
    shoot = make_shoot()
    do(owner, "purge-photos", shoot, reason="=1+1")
    do(owner, "block-account", make_user())

    everything, chosen = lines(owner), lines(owner, "?action=purge-photos")

    assert [line["action"] for line in everything] == ["block-account", "purge-photos"]
    assert chosen == everything[1:]
    assert (chosen[0]["email"], chosen[0]["target_id"], chosen[0]["shoot"]) == (
        staff.email,
        str(shoot.pk),
        str(shoot.pk),
    )
    assert chosen[0]["reason"] == "'=1+1", "no formula"


@pytest.mark.parametrize("who", EVERYBODY)
def test_it_is_the_owners_to_read_and_nobodys_to_write(who: str) -> None:
    do(client_of("owner"), "purge-photos", make_shoot())
    entry, client = AuditLogEntry.objects.get(), client_of(who)

    for page in ("", f"{entry.pk}/change/", "audit-log.csv"):
        expected = 200 if who == "owner" else 302 if who in ("person", "nobody") else 403
        assert client.get(f"{LOG}{page}").status_code == expected, page
    for page in ("add/", f"{entry.pk}/delete/", f"{entry.pk}/change/"):
        assert client.post(f"{LOG}{page}", {"post": "yes", "reason": "mine"}).status_code in (302, 403)
    assert client.get(f"/admin/targets/shoot/{entry.target_id}/").status_code == 302
    assert list(AuditLogEntry.objects.values_list("reason", flat=True)) == ["because it helps"]


def test_it_is_searched_for_reasons_numbers_and_what_was_chosen(owner: Client) -> None:
    do(owner, "grant-credits", account := make_user(), code="press", count="3")
    do(owner, "block-account", other := make_user())
    # Their number stands in the id of something else, too.
    AuditLogEntry.objects.filter(action="block-account").update(reason=f"it helps in {account.pk} ways")

    for term in ("press", "code: press", f"account {account.pk}", "helps press"):
        assert [line["action"] for line in lines(owner, f"?q={term}")] == ["grant-credits"], term
    assert [line["action"] for line in lines(owner, f"?q=account {other.pk}")] == ["block-account"]
    assert lines(owner, "?q=goodwill") == []
    assert len(lines(owner, "?q=helps")) == 2


def test_whoever_may_read_it_and_not_see_accounts_reads_numbers(owner: Client, staff: User) -> None:
    do(owner, "purge-photos", make_shoot())
    auditor = make_staff()
    auditor.user_permissions.set(Group.objects.get(name="owner").permissions.filter(codename="view_auditlogentry"))

    page, (line,) = shown(signed_in(auditor)), lines(signed_in(auditor))

    assert f"account {staff.pk}" in page
    assert staff.email not in page
    assert (line["account"], line["email"]) == (str(staff.pk), "")


def make_superuser() -> User:
    user = make_staff()
    user.is_superuser = True
    user.save()
    return user


# Plain forms -----------------------------------------------------------------------------------------------------


def test_making_somebody_staff_needs_a_reason_and_is_written_down_before_and_after(owner: Client, staff: User) -> None:
    account, group = make_user(), Group.objects.get(name="support")
    roles = {"is_active": "on", "is_staff": "on", "groups": str(group.pk)}

    without = edit_account(owner, account, **roles)
    with_address = edit_account(owner, account, **roles, reason="ask ada@example.org")
    done = edit_account(owner, account, **roles, reason="our new colleague")

    entry = AuditLogEntry.objects.get()
    assert (without.status_code, with_address.status_code, done.status_code) == (200, 200, 302)
    assert (entry.staff_id, entry.action, entry.target_name, entry.reason) == (
        staff.pk, "edit", f"account {account.pk}", "our new colleague",
    )  # fmt: skip
    assert entry.details == {"is_staff": "no → yes", "groups": "none → support"}
    assert "groups: none → support" in shown(owner)
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("lost", ["is_staff", "is_superuser"])
def test_a_superuser_shuts_out_neither_themselves_nor_the_last_of_them(lost: str) -> None:
    first, second, owner = make_superuser(), make_superuser(), make_staff("owner")
    everything = {"is_active": "on", "is_staff": "on", "is_superuser": "on", "reason": "tidying up"}
    less = {name: value for name, value in everything.items() if name != lost}

    own = edit_account(signed_in(first), first, **less)
    anothers = edit_account(signed_in(first), second, **less)
    last = edit_account(signed_in(owner), first, is_active="on", reason="tidying up")

    first.refresh_from_db()
    assert "lose your own access. Ask another owner" in own.content.decode()
    assert anothers.status_code == 302
    assert "This is the last superuser account. Make another account" in last.content.decode()
    assert (first.is_staff, first.is_superuser) == (True, True)


def test_an_owner_keeps_their_own_role(owner: Client, staff: User) -> None:
    kept = edit_account(owner, staff, is_active="on", is_staff="on", reason="tidying up")

    assert "lose your own access" in kept.content.decode()
    assert staff.groups.get().name == "owner"


def test_a_role_without_the_way_in_is_refused_in_words(owner: Client) -> None:
    group = Group.objects.get(name="support")

    page = edit_account(owner, make_user(), is_active="on", groups=str(group.pk), reason="our new colleague")

    assert "Only staff accounts can have roles. Select this as well" in page.content.decode()
    assert not AuditLogEntry.objects.exists()


def test_a_new_account_is_written_down_without_address_and_password(owner: Client) -> None:
    password = "a fine long password"
    told = {"email": "new@example.org", "usable_password": "true", "password1": password, "password2": password}

    without = owner.post("/admin/accounts/user/add/", told)
    done = owner.post("/admin/accounts/user/add/", told | {"reason": "a new colleague"})

    entry = AuditLogEntry.objects.get()
    assert (without.status_code, done.status_code) == (200, 302)
    assert entry.action == "add"
    assert "new@example.org" not in f"{entry.details} {entry.target_name}"
    assert password not in str(entry.details)


def test_support_sees_an_account_and_is_asked_for_no_reason() -> None:
    account = make_user()

    page = shown(client_of("support"), f"/admin/accounts/user/{account.pk}/change/")

    assert account.email in page
    assert 'name="reason"' not in page
    assert edit_account(client_of("support"), account, is_staff="on", reason="me").status_code == 403
    assert not AuditLogEntry.objects.exists()


def test_edits_of_looks_are_written_down_before_and_after(owner: Client) -> None:
    seed_styles()
    rows = list(Style.objects.all())
    form = {"form-TOTAL_FORMS": str(len(rows)), "form-INITIAL_FORMS": str(len(rows)), "_save": "Save"}
    for number, row in enumerate(rows):
        form |= {f"form-{number}-id": str(row.pk), f"form-{number}-position": str(row.position)}
        form |= {f"form-{number}-active": "on"} if number else {}
        form |= {f"form-{number}-in_preview": "on"} if row.in_preview else {}

    owner.post("/admin/shoots/style/", form)

    entry = AuditLogEntry.objects.get()
    assert (entry.action, entry.target_type, entry.target_name) == ("edit", "style", f"look {rows[0].name}")
    assert entry.details == {"active": "yes → no"}
    assert entry.target_name in shown(owner, f"{LOG}?target_name__startswith=look+{rows[0].name}")
