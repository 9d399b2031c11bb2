"""The typed way to the account of a request."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.test import RequestFactory

from headshots.accounts.current_user import current_user
from headshots.accounts.models import User


def test_a_signed_in_request_has_its_account() -> None:
    request = RequestFactory().get("/")
    request.user = User(pk=7)

    assert current_user(request) is request.user


def test_nobody_is_served_who_is_not_signed_in() -> None:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()

    with pytest.raises(PermissionDenied):
        current_user(request)
