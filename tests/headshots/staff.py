"""Members of staff for tests, and the clients that are signed in as them."""

from django.contrib.auth.models import Group
from django.test import Client

from headshots.accounts.models import User
from tests.factories import make_user

ROLES = ("owner", "support", "finance")


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
