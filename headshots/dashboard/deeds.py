"""Doing something as staff: asked once with a reason, done once, written down.

An action says what it is done to, who may do it, whether it can be done as things stand, and does it. Everything else,
confirmation, double clicks, states that have changed in between and the audit log, is the same for all and stands here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from headshots.accounts.models import User
from headshots.dashboard.models import Deed

Answers = dict[str, Any]
"""What was answered, by field."""


class NotPossible(Exception):
    """It cannot be done as things stand; says why, for the person who asked."""


class Changed(Exception):
    """It is no longer what it was when the question was shown. Raised by `do` too, when somebody was quicker."""


def no_address(text: str) -> None:
    """Reasons are kept for good, addresses in account tables only."""
    if "@" in text:
        raise ValidationError("Please leave addresses out: reasons are kept.")


class ReasonForm(forms.Form):
    """Why, and which showing of the question this is an answer to."""

    reason = forms.CharField(
        max_length=200,
        validators=[no_address],
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="One sentence for the audit log. No names and no addresses.",
    )
    # What the thing looked like when the question was asked.
    seen = forms.CharField(max_length=100, required=False, widget=forms.HiddenInput)
    submission = forms.UUIDField(widget=forms.HiddenInput)


@dataclass(frozen=True)
class Action:
    """`subject`: what kind of thing it is done to. `state_of`: in a few letters, for the question "has it changed?".
    `why_not`: empty when it can be done now. `do`: does it and returns what to tell; raises NotPossible.
    """

    code: str
    title: str
    question: str
    subject: str
    permission: str
    load: Callable[[str], Any]
    state_of: Callable[[Any], str]
    why_not: Callable[[Any], str]
    do: Callable[[Any, Answers], str]
    form: type[ReasonForm] = ReasonForm
    danger: bool = False
    initial: Callable[[Any], dict[str, Any]] = lambda thing: {}
    # The page to go to afterwards, by the id of what it was done to; else the one where it came from.
    then: str = ""
    shoot_of: Callable[[Any], UUID | None] = lambda thing: None


def fresh_form(action: Action, thing: object) -> ReasonForm:
    return action.form(initial={"seen": action.state_of(thing), "submission": uuid4()} | action.initial(thing))


def perform(*, action: Action, thing_id: str, answers: Answers, staff: User) -> str:
    """What was done, in words. The same submission twice is done once.

    Raises NotPossible, Changed, and what `action.load` raises for a thing that is not there."""
    if Deed.objects.filter(submission=answers["submission"]).exists():
        return "That was done already."
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
            deed.shoot_id = action.shoot_of(thing)
            deed.save(update_fields=["shoot_id"])
            return action.do(thing, answers | {"staff": staff.pk})
    except IntegrityError:
        if Deed.objects.filter(submission=answers["submission"]).exists():
            return "That was done already."
        raise


def _details(answers: Answers) -> dict[str, object]:
    """What was chosen besides, as the audit log keeps it."""
    chosen = {name: answer for name, answer in answers.items() if name not in ReasonForm.base_fields}
    return {
        name: [str(each.pk) for each in answer] if isinstance(answer, QuerySet) else str(answer)
        for name, answer in chosen.items()
    }
