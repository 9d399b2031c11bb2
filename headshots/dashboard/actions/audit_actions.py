"""Define staff actions, perform each request once, and record it with its reason in the audit log.

An action defines its target, its permission, its blocking conditions and its work. This module has the common parts
of all actions: confirmation, double clicks, targets that changed before the confirmation, and the audit log.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from headshots.accounts.models import User
from headshots.dashboard.actions.targets import target_label
from headshots.dashboard.models import AuditLogEntry

Answers = dict[str, Any]
"""Cleaned form data, by field name."""

# A repeat by the same person within this time is a double click. The time includes the wait for the first request.
_DOUBLE_CLICK = timedelta(seconds=10)


class ActionUnavailable(Exception):
    """The action is blocked in the target's current state. The message tells the staff member why."""


class StaleTargetError(Exception):
    """The target has changed since the confirmation page was shown. `Action.do` raises it as well."""


def reject_email_address(text: str) -> None:
    """Raise ValidationError for a reason with an email address.

    Reasons are kept forever, but email addresses may be stored in account tables only."""
    if "@" in text:
        raise ValidationError("Please leave out email addresses. Reasons are kept permanently.")


def reason_field() -> forms.CharField:
    """Return the required field for the reason of an action."""
    return forms.CharField(
        max_length=200,
        validators=[reject_email_address],
        widget=forms.TextInput(attrs={"autocomplete": "off", "size": "60"}),
        help_text="One sentence for the audit log. Don't include names or email addresses.",
    )


class ReasonForm(forms.Form):
    """The form of a confirmation page: the reason, and hidden fields that identify the page."""

    reason = reason_field()
    # The state of the target when the confirmation page was rendered.
    seen_state = forms.CharField(max_length=100, required=False, widget=forms.HiddenInput)
    submission = forms.UUIDField(widget=forms.HiddenInput)


@dataclass(frozen=True)
class Action:
    """An action that staff can perform on a target, once and with a reason.

    code: unique name of the action in URLs and in the audit log. Never change it.
    title: label of the button.
    question: heading of the confirmation page.
    effects: the consequences of the action, one sentence each.
    undo_note: explains which of them can be undone.
    target_type: the kind of target, as named in the audit log.
    permission: the permission that staff need, such as "dashboard.view_money".
    load: returns the target with an id. May raise Http404 or DoesNotExist.
    state_of: returns a short string that differs once the target has changed.
    blocked_reason: returns why the action cannot be performed now, or "" if it can.
    do: performs the action and returns a message for the staff member. Raises ActionUnavailable, StaleTargetError.
    form: the form of the confirmation page, if the action asks for more than a reason.
    danger: marks the button and shows `undo_note` as a warning.
    can_be_undone: shows `undo_note` of a dangerous action as information instead.
    initial: returns initial values of the form for a target.
    success_url_name: name of the URL to open afterwards, with the target's id. Empty: the page before the action.
    shoot_of: returns the id of the target's shoot, under which the audit log lists the action.
    details_of: returns facts for the audit log in addition to the answers.
    """

    code: str
    title: str
    question: str
    effects: tuple[str, ...]
    undo_note: str
    target_type: str
    permission: str
    load: Callable[[str], Any]
    state_of: Callable[[Any], str]
    blocked_reason: Callable[[Any], str]
    do: Callable[[Any, Answers], str]
    form: type[ReasonForm] = ReasonForm
    danger: bool = False
    can_be_undone: bool = False
    initial: Callable[[Any], dict[str, Any]] = lambda target: {}
    success_url_name: str = ""
    shoot_of: Callable[[Any], UUID | None] = lambda target: None
    details_of: Callable[[Any], dict[str, str]] = lambda target: {}


def new_form(action: Action, target: object, previous_answers: Answers | None = None) -> ReasonForm:
    """Return a fresh form. Keeps previous answers, except those that depend on the target's current state."""
    now = {"seen_state": action.state_of(target), "submission": uuid4()}
    return action.form(initial=(previous_answers or {}) | now | action.initial(target))


def perform(*, action: Action, target_id: str, answers: Answers, staff: User) -> str:
    """Perform an action once and record it. Returns the message for the staff member.

    A submission that is sent twice is performed once.
    Raises ActionUnavailable, StaleTargetError, and what `action.load` raises for a missing target."""
    if earlier := AuditLogEntry.objects.filter(submission=answers["submission"]).first():
        return _repeated_message(action, earlier, staff)
    try:
        with transaction.atomic():
            # The entry comes first: a second request waits for its unique submission id, then finds it done.
            entry = AuditLogEntry.objects.create(
                staff_id=staff.pk,
                action=action.code,
                target_type=action.target_type,
                target_id=target_id,
                reason=answers["reason"],
                details=_details(answers),
                submission=answers["submission"],
            )
            target = action.load(target_id)
            if answers["seen_state"] != action.state_of(target):
                raise StaleTargetError
            if blocked_reason := action.blocked_reason(target):
                raise ActionUnavailable(blocked_reason)
            entry.shoot_id, entry.target_name = action.shoot_of(target), target_label(target)
            entry.details |= action.details_of(target)
            entry.save(update_fields=["shoot_id", "target_name", "details"])
            return action.do(target, answers | {"staff": staff.pk})
    except IntegrityError:
        if earlier := AuditLogEntry.objects.filter(submission=answers["submission"]).first():
            return _repeated_message(action, earlier, staff)
        raise


def _repeated_message(action: Action, entry: AuditLogEntry, staff: User) -> str:
    """Build the message for a repeated submission.

    After a double click the browser shows only the second response, so the message must not read like an error."""
    is_double_click = entry.staff_id == staff.pk and timezone.now() - entry.at < _DOUBLE_CLICK
    return f"{'Done' if is_double_click else 'Already done'}: {format_entry(entry, action.title, staff)}."


def format_entry(entry: AuditLogEntry, title: str, viewer: User) -> str:
    """Format an entry as a sentence: action, target, amount, time and account number.

    Names no email address, because the message may be stored in the session. title: the action's title."""
    by = "you" if entry.staff_id == viewer.pk else f"account {entry.staff_id}"
    more = f" ({entry.amount})" if entry.amount else ""
    target = entry.target_name or entry.target_type
    return f"{title}, {target}{more}, at {entry.at:%H:%M:%S} UTC on {entry.at:%b %-d, %Y} by {by}"


def _details(answers: Answers) -> dict[str, object]:
    """Return the answers other than the reason, as the audit log stores them."""
    chosen = {name: answer for name, answer in answers.items() if name not in ReasonForm.base_fields}
    return {
        name: [str(each) for each in answer] if isinstance(answer, QuerySet) else str(answer)
        for name, answer in chosen.items()
    }
