"""Who may open which page of the admin: every list, row and view, for owner, support, finance, staff without a role,
a person and nobody. What each may do: tests/headshots/dashboard/actions/test_actions.py."""

import pytest
from django.contrib import admin
from django.urls import URLPattern

from headshots.accounts.models import User
from headshots.dashboard.models import AuditLogEntry
from headshots.shoots.models import Pack, Shoot, Style
from tests.helpers.factories import make_payment, make_preview
from tests.helpers.staff import EVERYBODY, client_of, do

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

OWNER, SUPPORT, FINANCE = {"owner"}, {"owner", "support"}, {"owner", "finance"}
STAFF = {"owner", "support", "finance", "staff"}
STATS = {"owner", "support", "finance"}

LISTS = {
    "account/emailaddress": OWNER,
    "accounts/user": SUPPORT,
    "dashboard/abusereport": SUPPORT,
    "dashboard/auditlogentry": OWNER,
    "payments/credit": STATS,
    "payments/ledgerentry": FINANCE,
    "payments/payment": STATS,
    "payments/refund": FINANCE,
    "payments/webhookevent": OWNER,
    "payments/withdrawal": STATS,
    "retention/deletioncertificate": SUPPORT,
    "shoots/consent": OWNER,
    "shoots/event": SUPPORT,
    "shoots/headshot": SUPPORT,
    "shoots/pack": SUPPORT,
    "shoots/photo": SUPPORT,
    "shoots/shoot": SUPPORT,
    "shoots/style": OWNER,
    "vault/blob": OWNER,
}
# The product's own views of the admin, by the names of their addresses.
VIEWS = {
    "target": STAFF,
    "audit_log_csv": OWNER,
    "chart": STATS,
    "table_csv": STATS,
    "history": OWNER,
    "index": STAFF,
    "health": STAFF,
    "look_export": OWNER,
    "look_import": OWNER,
    "look_trial_state": OWNER,
    "support_timeline": SUPPORT,
}
LEAD_ON = {"history", "target"}
# By actions, by leave and by POST: in the tests of actions, support and looks.
ELSEWHERE = {"action", "support_gallery", "support_picture", "look_trial", "look_try"}
ADDED_BY_HAND = {"accounts/user": OWNER, "shoots/style": OWNER}


def addresses(shoot: Shoot) -> dict[str, str]:
    return {
        "target": f"targets/shoot/{shoot.pk}/",
        "audit_log_csv": "dashboard/auditlogentry/audit-log.csv",
        "chart": "charts/activity.svg",
        "table_csv": "tables/funnel.csv",
        "history": f"shoots/shoot/{shoot.pk}/history/",
        "index": "",
        "health": "health/",
        "look_export": "shoots/style/export.toml",
        "look_import": "shoots/style/import/",
        "look_trial_state": f"shoots/style/{Style.objects.first().pk}/trial/",
        "support_timeline": f"support/{shoot.pk}/",
    }


def test_every_list_and_every_view_stands_in_these_tables() -> None:
    models = {f"{model._meta.app_label}/{model._meta.model_name}" for model in admin.site._registry}
    patterns = [*admin.site.get_urls(), *(each for of in admin.site._registry.values() for each in of.get_urls())]
    names = {each.name for each in patterns if isinstance(each, URLPattern) and each.name}
    djangos = {
        "app_list",
        "login",
        "logout",
        "password_change",
        "password_change_done",
        "autocomplete",
        "jsi18n",
        "view_on_site",
    }
    of_rows = ("_changelist", "_add", "_change", "_delete", "_history", "_password_change")
    own = {name for name in names - djangos if not name.endswith(of_rows)}

    assert models == set(LISTS)
    assert own == set(VIEWS) | ELSEWHERE


@pytest.mark.parametrize("who", EVERYBODY)
def test_a_page_opens_for_those_who_may_and_for_nobody_else(who: str) -> None:
    pack = make_preview()
    make_payment(pack.shoot.owner)
    do(client_of("owner"), "cancel-pack", pack)
    client, outside = client_of(who), who in ("person", "nobody")
    rows = {
        "accounts/user": User.objects.exclude(is_staff=True).first(),
        "dashboard/auditlogentry": AuditLogEntry.objects.get(),
        "shoots/pack": Pack.objects.get(),
        "shoots/shoot": pack.shoot,
        "shoots/style": Style.objects.first(),
    }

    def opens(address: str) -> bool:
        return client.get(f"/admin/{address}").status_code == 200

    opened = {name for name in LISTS if opens(f"{name}/")}
    opened_rows = {name for name, row in rows.items() if opens(f"{name}/{row.pk}/change/")}
    added = {name for name in LISTS if opens(f"{name}/add/")}
    answers = {name: client.get(f"/admin/{address}").status_code for name, address in addresses(pack.shoot).items()}

    assert opened == {name for name, may in LISTS.items() if who in may}
    assert opened_rows == {name for name in rows if who in LISTS[name]}
    assert added == {name for name, may in ADDED_BY_HAND.items() if who in may}
    assert {name for name, status in answers.items() if status == (302 if name in LEAD_ON else 200)} == (
        LEAD_ON if outside else {name for name, may in VIEWS.items() if who in may}
    ), "whoever is outside is led to the door from everywhere"
    assert all(status == 302 for status in answers.values()) or not outside
