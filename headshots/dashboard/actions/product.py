"""Staff actions on the product: pause uploads or rendering."""

from headshots.dashboard.actions.audit_actions import Action, Answers, StaleTargetError
from headshots.dashboard.actions.targets import load_part
from headshots.shoots import pauses
from headshots.shoots.models import Pause

_IS = {Pause.Part.UPLOADS: "are", Pause.Part.RENDERING: "is"}
_HAS = {Pause.Part.UPLOADS: "have", Pause.Part.RENDERING: "has"}


def _pause_blocked_reason(part: Pause.Part) -> str:
    return "Already paused." if pauses.is_paused(part) else ""


def _pause(part: Pause.Part, answers: Answers) -> str:
    if not pauses.pause(part):
        raise StaleTargetError
    return f"{part.label} {_IS[part]} paused. Visitors see a maintenance notice."


def _resume_blocked_reason(part: Pause.Part) -> str:
    return "" if pauses.is_paused(part) else "Not paused."


def _resume(part: Pause.Part, answers: Answers) -> str:
    if not pauses.resume(part):
        raise StaleTargetError
    return f"{part.label} {_HAS[part]} resumed."


ACTIONS = (
    Action(
        code="pause",
        title="Pause",
        question="Pause this part of the product?",
        effects=(
            "Visitors see a maintenance notice, and no new work starts.",
            "Work in progress is finished, and waiting packs keep their place. Photos are still deleted on schedule.",
        ),
        undo_note="You can resume at any time.",
        target_type="part",
        permission="dashboard.pause",
        load=load_part,
        state_of=lambda part: str(pauses.is_paused(part)),
        blocked_reason=_pause_blocked_reason,
        do=_pause,
        danger=True,
        can_be_undone=True,
    ),
    Action(
        code="resume",
        title="Resume",
        question="Resume this part of the product?",
        effects=("Pages return to normal and waiting work starts within a minute.",),
        undo_note="You can pause again at any time.",
        target_type="part",
        permission="dashboard.pause",
        load=load_part,
        state_of=lambda part: str(pauses.is_paused(part)),
        blocked_reason=_resume_blocked_reason,
        do=_resume,
    ),
)
