"""Doing something as staff: asked once with a reason, done once, written down.

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
from headshots.dashboard.actions.targets import name_of
from headshots.dashboard.models import Deed

Answers = dict[str, Any]
"""What was answered, by field."""

# Between the clicks of one hand, and the second's wait for the first.
_DOUBLE_CLICK = timedelta(seconds=10)


class NotPossible(Exception):
    """It cannot be done as things stand; says why, for the person who asked."""


class Changed(Exception):
    """It is no longer what it was when the question was shown. Raised by `do` too, when somebody was quicker."""


def no_address(text: str) -> None:
    """Reasons are kept for good, addresses in account tables only."""
    if "@" in text:
        raise ValidationError("Please leave addresses out: reasons are kept.")


def reason_field() -> forms.CharField:
    """Why: asked of whoever does something."""
    return forms.CharField(
        max_length=200,
        validators=[no_address],
        widget=forms.TextInput(attrs={"autocomplete": "off", "size": "60"}),
        help_text="One sentence for the audit log. No names and no addresses.",
    )


class ReasonForm(forms.Form):
    """Why, and which showing of the question this is an answer to."""

    reason = reason_field()
    # What the thing looked like when the question was asked.
    seen = forms.CharField(max_length=100, required=False, widget=forms.HiddenInput)
    submission = forms.UUIDField(widget=forms.HiddenInput)


@dataclass(frozen=True)
class Action:
    """`effects`: what happens, a sentence each. `way_back`: what can be undone, and what cannot. `subject`: what kind
    of thing it is done to. `state_of`: in a few letters, for the question "has it changed?". `why_not`: empty when it
    can be done now. `do`: does it and returns what to tell; raises NotPossible.
    """

    code: str
    title: str
    question: str
    effects: tuple[str, ...]
    way_back: str
    subject: str
    permission: str
    load: Callable[[str], Any]
    state_of: Callable[[Any], str]
    why_not: Callable[[Any], str]
    do: Callable[[Any, Answers], str]
    form: type[ReasonForm] = ReasonForm
    danger: bool = False
    # Of a dangerous one: `way_back` is no warning.
    can_be_undone: bool = False
    initial: Callable[[Any], dict[str, Any]] = lambda thing: {}
    # The page to go to afterwards, by the id of what it was done to; else the one where it came from.
    then: str = ""
    shoot_of: Callable[[Any], UUID | None] = lambda thing: None
    # What the audit log keeps besides the answers, so that they can be read later.
    details_of: Callable[[Any], dict[str, str]] = lambda thing: {}


def fresh_form(action: Action, thing: object, kept: Answers | None = None) -> ReasonForm:
    """`kept`: what was answered to an earlier showing, still good but for what follows from how the thing stands."""
    now = {"seen": action.state_of(thing), "submission": uuid4()}
    return action.form(initial=(kept or {}) | now | action.initial(thing))


def perform(*, action: Action, thing_id: str, answers: Answers, staff: User) -> str:
    """What was done, in words. The same submission twice is done once.

    Raises NotPossible, Changed, and what `action.load` raises for a thing that is not there."""
    if earlier := Deed.objects.filter(submission=answers["submission"]).first():
        return _told_again(action, earlier, staff)
    try:
        with transaction.atomic():
            # First of all: whoever comes second waits here, and then finds it done.
            deed = Deed.objects.create(
                who=staff.pk,
                action=action.code,
                subject=action.subject,
                subject_id=thing_id,
                reason=answers["reason"],
                details=_details(answers),
                submission=answers["submission"],
            )
            thing = action.load(thing_id)
            if answers["seen"] != action.state_of(thing):
                raise Changed
            if why_not := action.why_not(thing):
                raise NotPossible(why_not)
            deed.shoot_id, deed.about = action.shoot_of(thing), name_of(thing)
            deed.details |= action.details_of(thing)
            deed.save(update_fields=["shoot_id", "about", "details"])
            return action.do(thing, answers | {"staff": staff.pk})
    except IntegrityError:
        if earlier := Deed.objects.filter(submission=answers["submission"]).first():
            return _told_again(action, earlier, staff)
        raise


def _told_again(action: Action, deed: Deed, staff: User) -> str:
    """A double click sees the second answer alone: to whoever clicked it must not look like a failure."""
    is_double_click = deed.who == staff.pk and timezone.now() - deed.at < _DOUBLE_CLICK
    return f"{'Done' if is_double_click else 'That was done already'}: {in_words(deed, action.title, staff)}."


def in_words(deed: Deed, title: str, viewer: User) -> str:
    """Say what was done to what, how much, when and by whom. By number: it may be kept until the next page is shown.

    title: what the button of the action says."""
    by = "you" if deed.who == viewer.pk else f"account {deed.who}"
    more = f" ({deed.amount})" if deed.amount else ""
    return f"{title}, {deed.about or deed.subject}{more}, at {deed.at:%H:%M:%S} UTC on {deed.at:%-d %b %Y} by {by}"


def _details(answers: Answers) -> dict[str, object]:
    """What was chosen besides, as the audit log keeps it."""
    chosen = {name: answer for name, answer in answers.items() if name not in ReasonForm.base_fields}
    return {
        name: [str(each) for each in answer] if isinstance(answer, QuerySet) else str(answer)
        for name, answer in chosen.items()
    }
