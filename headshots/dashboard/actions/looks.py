"""Looks: a draft becomes what customers get, an older version comes back."""

from headshots.dashboard.actions.audit_actions import Action, Answers, Changed
from headshots.dashboard.actions.targets import load_version
from headshots.shoots.looks import versions
from headshots.shoots.models import Style, StyleVersion


def _state(version: StyleVersion) -> str:
    return f"{version.number} {version.style.current_id or ''} {versions.is_draft(version)}"


def _why_no_publishing(version: StyleVersion) -> str:
    return "" if versions.is_draft(version) else "It has been published before. Go back to it instead."


def _wait_for_others(version: StyleVersion, answers: Answers) -> None:
    """Raises Changed when somebody else has just published of the same look."""
    Style.objects.select_for_update().get(pk=version.style_id)
    if answers["seen"] != _state(load_version(str(version.pk))):
        raise Changed


def _publish(version: StyleVersion, answers: Answers) -> str:
    _wait_for_others(version, answers)
    versions.publish(version=version)
    return f"Version {version.number} is what new packs are made in."


def _why_no_return(version: StyleVersion) -> str:
    if versions.is_draft(version):
        return "It is a draft: publish it."
    return "It is what customers get now." if version.style.current_id == version.pk else ""


def _go_back(version: StyleVersion, answers: Answers) -> str:
    _wait_for_others(version, answers)
    again = versions.restore_version(version=version, created_by=answers["staff"])
    return f"It is as in version {version.number} again, as version {again.number}."


ACTIONS = (
    Action(
        code="publish-look",
        title="Publish",
        question="Make new packs in this version?",
        effects=(
            "The order page and new packs show this version from now on.",
            "Packs that are ordered already keep the words and scales that they were ordered with.",
            "A new look is offered with its first publishing.",
        ),
        way_back="You can go back to an older version at any time; packs that were ordered meanwhile keep this one.",
        subject="look",
        permission="shoots.change_style",
        load=load_version,
        state_of=_state,
        why_not=_why_no_publishing,
        do=_publish,
    ),
    Action(
        code="restore-look",
        title="Go back to it",
        question="Make new packs as this older version says?",
        effects=(
            "A copy of it becomes the newest version and is offered at once.",
            "Packs that are ordered already keep the words and scales that they were ordered with.",
        ),
        way_back="You can go back to any other version at any time.",
        subject="look",
        permission="shoots.change_style",
        load=load_version,
        state_of=_state,
        why_not=_why_no_return,
        do=_go_back,
    ),
)
