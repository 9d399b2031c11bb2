"""Define a staff action and perform it once, with a reason, in the audit log.

An action says what it is done to, who may do it, whether it can be done as things stand, and does it. Everything else,
confirmation, double clicks, states that have changed in between and the audit log, is the same for all and stands here.
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
"""What was answered, by field."""

# Between the clicks of one hand, and the second's wait for the first.
_DOUBLE_CLICK = timedelta(seconds=10)


class ActionUnavailable(Exception):
    """It cannot be done as things stand; says why, for the person who asked."""


class StaleTargetError(Exception):
    """It is no longer what it was when the question was shown. Raised by `do` too, when somebody was quicker."""


def reject_email_address(text: str) -> None:
    """Reasons are kept for good, addresses in account tables only."""
    if "@" in text:
        raise ValidationError("Please leave addresses out: reasons are kept.")


def reason_field() -> forms.CharField:
    """Why: asked of whoever does something."""
    return forms.CharField(
        max_length=200,
        validators=[reject_email_address],
        widget=forms.TextInput(attrs={"autocomplete": "off", "size": "60"}),
        help_text="One sentence for the audit log. No names and no addresses.",
    )


class ReasonForm(forms.Form):
    """Why, and which showing of the question this is an answer to."""

    reason = reason_field()
    # The state of the target when the question was shown.
    seen_state = forms.CharField(max_length=100, required=False, widget=forms.HiddenInput)
    submission = forms.UUIDField(widget=forms.HiddenInput)


@dataclass(frozen=True)
class Action:
    """Something that staff can do to a target, once and with a reason.

    effects: what happens, one sentence each.
    undo_note: what can be undone, and what cannot.
    target_type: the kind of target, as the audit log calls it.
    state_of: a short string that differs once the target has changed.
    blocked_reason: why it cannot be done now; empty when it can.
    do: does it and returns a message for the staff member. Raises ActionUnavailable.
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
    # Of a dangerous one: `undo_note` is no warning.
    can_be_undone: bool = False
    initial: Callable[[Any], dict[str, Any]] = lambda target: {}
    # The page to go to afterwards, by the id of what it was done to; else the one where it came from.
    success_url_name: str = ""
    shoot_of: Callable[[Any], UUID | None] = lambda target: None
    # What the audit log keeps besides the answers, so that they can be read later.
    details_of: Callable[[Any], dict[str, str]] = lambda target: {}


def new_form(action: Action, target: object, previous_answers: Answers | None = None) -> ReasonForm:
    """Return a fresh form. Keeps previous answers, except those that depend on the target's current state."""
    now = {"seen_state": action.state_of(target), "submission": uuid4()}
    return action.form(initial=(previous_answers or {}) | now | action.initial(target))


def perform(*, action: Action, target_id: str, answers: Answers, staff: User) -> str:
    """What was done, in words. The same submission twice is done once.

    Raises ActionUnavailable, StaleTargetError, and what `action.load` raises for a missing target."""
    if earlier := AuditLogEntry.objects.filter(submission=answers["submission"]).first():
        return _repeated_message(action, earlier, staff)
    try:
        with transaction.atomic():
            # First of all: whoever comes second waits here, and then finds it done.
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
    """A double click sees the second answer alone: to whoever clicked it must not look like a failure."""
    is_double_click = entry.staff_id == staff.pk and timezone.now() - entry.at < _DOUBLE_CLICK
    return f"{'Done' if is_double_click else 'That was done already'}: {format_entry(entry, action.title, staff)}."


def format_entry(entry: AuditLogEntry, title: str, viewer: User) -> str:
    """Say what was done to what, how much, when and by whom. By number: it may be kept until the next page is shown.

    title: what the button of the action says."""
    by = "you" if entry.staff_id == viewer.pk else f"account {entry.staff_id}"
    more = f" ({entry.amount})" if entry.amount else ""
    target = entry.target_name or entry.target_type
    return f"{title}, {target}{more}, at {entry.at:%H:%M:%S} UTC on {entry.at:%-d %b %Y} by {by}"


def _details(answers: Answers) -> dict[str, object]:
    """What was chosen besides, as the audit log keeps it."""
    chosen = {name: answer for name, answer in answers.items() if name not in ReasonForm.base_fields}
    return {
        name: [str(each) for each in answer] if isinstance(answer, QuerySet) else str(answer)
        for name, answer in chosen.items()
    }
