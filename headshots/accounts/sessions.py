"""Database sessions with the id of their account, so that they can be deleted with it. Set as SESSION_ENGINE."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.http import HttpRequest


class Session(AbstractBaseSession):
    """A session with the id of its account, which all sessions of an account are found by.

    The session's data can hold the email address that was typed to sign in."""

    account_id = models.BigIntegerField(null=True, db_index=True)

    class Meta(AbstractBaseSession.Meta):
        app_label = "accounts"

    @classmethod
    def get_session_store_class(cls) -> "type[SessionStore]":
        return SessionStore


class SessionStore(DatabaseStore):
    """Django's database session store, which also stores the id of the account."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:  # what Django's own method takes
        row = super().create_model_instance(data)
        assert isinstance(row, Session)
        account_id = data.get(SESSION_KEY)
        row.account_id = int(str(account_id)) if account_id else None
        return row


def end_other_sessions(request: HttpRequest) -> None:
    """Sign the account of a request out in all other browsers.

    This browser stays signed in, with a new session key."""
    # The old key may have been copied from this browser.
    request.session.cycle_key()
    others = Session.objects.filter(account_id=request.user.pk)
    others.exclude(session_key=request.session.session_key).delete()


def signed_in_account(cookies: Mapping[str, str]) -> int | None:
    """Return the id of the account that these cookies are signed in to, or None."""
    session_key = cookies.get(settings.SESSION_COOKIE_NAME)
    if not session_key:
        return None
    request = HttpRequest()
    request.session = SessionStore(session_key)
    user = get_user(request)
    return user.pk if user.is_authenticated else None
