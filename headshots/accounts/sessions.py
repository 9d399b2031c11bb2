"""Sessions that know whose they are, so that they can end with the account. Named in SESSION_ENGINE."""

from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.http import HttpRequest

from headshots.accounts.models import Session


class SessionStore(DatabaseStore):
    """Django's sessions in the database, each with the id of its account."""

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
    """Sign the account of this request out everywhere else. This browser stays signed in, under a new session key."""
    # The old key may have been copied from this browser.
    request.session.cycle_key()
    others = Session.objects.filter(account_id=request.user.pk)
    others.exclude(session_key=request.session.session_key).delete()
