"""Celery tasks of accounts."""

from celery import shared_task

from headshots.accounts.sessions import SessionStore


@shared_task(name="accounts.clear_sessions")
def clear_sessions() -> None:
    """Delete expired sessions, because they can hold the email address that was typed to sign in."""
    SessionStore.clear_expired()
