"""Members of staff for tests, the clients that are signed in as them, and what they do."""

import re

from django.contrib.auth.models import Group
from django.test import Client

from headshots.accounts.models import User
from headshots.shoots.models import Style
from tests.helpers.factories import make_user

ROLES = ("owner", "support", "finance")
EVERYBODY = (*ROLES, "staff", "person", "nobody")
# What has to be answered besides the reason.
MORE = {
    "close-report": {"outcome": "removed"},
    "refund": {"amount": "19.00", "code": "goodwill"},
    "grant-credits": {"count": "2", "code": "support"},
    "grant-pack": {"code": "support"},
}


def make_staff(role: str | None = None) -> User:
    user = make_user()
    user.is_staff = True
    user.save()
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def client_of(who: str) -> Client:
    """owner, support, finance, staff (without a role), person or nobody."""
    if who == "nobody":
        return Client()
    if who == "person":
        return signed_in(make_user())
    return signed_in(make_staff(who if who in ROLES else None))


def more(code: str) -> dict[str, object]:
    looks = {"styles": list(Style.objects.values_list("pk", flat=True)[:3])} if code == "grant-pack" else {}
    return MORE.get(code, {}) | looks


def address(code: str, target: object) -> str:
    return f"/admin/actions/{code}/{getattr(target, 'pk', target)}/"


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the question."""
    fields = re.findall(r'<input type="hidden" name="(seen_state|submission)"(?: value="([^"]*)")?', page)
    return dict(fields)


def do(client: Client, action: str, target: object, **changes: str) -> object:
    """Look at the question and answer it at once."""
    answers = hidden(client.get(address(action, target)).content.decode()) | {"reason": "because it helps"}
    return client.post(address(action, target), answers | more(action) | changes)
