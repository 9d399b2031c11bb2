"""Staff actions on looks: publish a draft, restore an older version."""

from headshots.dashboard.actions.audit_actions import Action, Answers, StaleTargetError
from headshots.dashboard.actions.targets import load_version
from headshots.shoots.looks import versions
from headshots.shoots.models import Style, StyleVersion


def _state(version: StyleVersion) -> str:
    return f"{version.number} {version.style.current_id or ''} {versions.is_draft(version)}"


def _publish_blocked_reason(version: StyleVersion) -> str:
    return "" if versions.is_draft(version) else "This version has been published before. Restore it instead."


def _lock_style(version: StyleVersion, answers: Answers) -> None:
    """Lock the look of a version. Raises StaleTargetError if the look has changed since the page was shown."""
    Style.objects.select_for_update().get(pk=version.style_id)
    if answers["seen_state"] != _state(load_version(str(version.pk))):
        raise StaleTargetError


def _publish(version: StyleVersion, answers: Answers) -> str:
    _lock_style(version, answers)
    versions.publish(version=version)
    return f"Version {version.number} is published. New packs use it."


def _restore_blocked_reason(version: StyleVersion) -> str:
    if versions.is_draft(version):
        return "This version is a draft. Publish it instead."
    return "This is already the current version." if version.style.current_id == version.pk else ""


def _restore(version: StyleVersion, answers: Answers) -> str:
    _lock_style(version, answers)
    again = versions.restore_version(version=version, created_by=answers["staff"])
    return f"Version {version.number} is restored as version {again.number}."


ACTIONS = (
    Action(
        code="publish-look",
        title="Publish",
        question="Publish this version?",
        effects=(
            "The order page and new packs use this version from now on.",
            "Packs that are already ordered keep the version they were ordered with.",
            "Customers can choose a new look once its first version is published.",
        ),
        undo_note="You can restore an older version at any time. Packs ordered until then keep this one.",
        target_type="look",
        permission="shoots.change_style",
        load=load_version,
        state_of=_state,
        blocked_reason=_publish_blocked_reason,
        do=_publish,
    ),
    Action(
        code="restore-look",
        title="Restore",
        question="Restore this version?",
        effects=(
            "A copy of it becomes the newest version and is published right away.",
            "Packs that are already ordered keep the version they were ordered with.",
        ),
        undo_note="You can restore any other version at any time.",
        target_type="look",
        permission="shoots.change_style",
        load=load_version,
        state_of=_state,
        blocked_reason=_restore_blocked_reason,
        do=_restore,
    ),
)
