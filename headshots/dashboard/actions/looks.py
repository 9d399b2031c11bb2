"""Staff actions on looks: publish a draft, restore an older version."""

from headshots.dashboard.actions.audit_actions import Action, Answers, StaleTargetError
from headshots.dashboard.actions.targets import load_version
from headshots.shoots.looks import versions
from headshots.shoots.models import Style, StyleVersion


def _state(version: StyleVersion) -> str:
    return f"{version.number} {version.style.current_id or ''} {versions.is_draft(version)}"


def _publish_blocked_reason(version: StyleVersion) -> str:
    return "" if versions.is_draft(version) else "It has been published before. Go back to it instead."


def _lock_style(version: StyleVersion, answers: Answers) -> None:
    """Lock the look of a version. Raises StaleTargetError if the look has changed since the page was shown."""
    Style.objects.select_for_update().get(pk=version.style_id)
    if answers["seen_state"] != _state(load_version(str(version.pk))):
        raise StaleTargetError


def _publish(version: StyleVersion, answers: Answers) -> str:
    _lock_style(version, answers)
    versions.publish(version=version)
    return f"Version {version.number} is what new packs are made in."


def _restore_blocked_reason(version: StyleVersion) -> str:
    if versions.is_draft(version):
        return "It is a draft: publish it."
    return "It is what customers get now." if version.style.current_id == version.pk else ""


def _restore(version: StyleVersion, answers: Answers) -> str:
    _lock_style(version, answers)
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
        undo_note="You can go back to an older version at any time; packs that were ordered meanwhile keep this one.",
        target_type="look",
        permission="shoots.change_style",
        load=load_version,
        state_of=_state,
        blocked_reason=_publish_blocked_reason,
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
        undo_note="You can go back to any other version at any time.",
        target_type="look",
        permission="shoots.change_style",
        load=load_version,
        state_of=_state,
        blocked_reason=_restore_blocked_reason,
        do=_restore,
    ),
)
