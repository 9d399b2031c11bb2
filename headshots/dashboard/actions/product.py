"""Staff actions on the product: pause uploads or rendering."""

from headshots.dashboard.actions.audit_actions import Action, Answers, StaleTargetError
from headshots.dashboard.actions.targets import load_part
from headshots.shoots import pauses
from headshots.shoots.models import Pause

_IS = {Pause.Part.UPLOADS: "are", Pause.Part.RENDERING: "is"}
_GOES = {Pause.Part.UPLOADS: "go", Pause.Part.RENDERING: "goes"}


def _pause_blocked_reason(part: Pause.Part) -> str:
    return "That is paused already." if pauses.is_paused(part) else ""


def _pause(part: Pause.Part, answers: Answers) -> str:
    if not pauses.pause(part):
        raise StaleTargetError
    return f"{part.label} {_IS[part]} paused. Pages say so."


def _resume_blocked_reason(part: Pause.Part) -> str:
    return "" if pauses.is_paused(part) else "That is not paused."


def _resume(part: Pause.Part, answers: Answers) -> str:
    if not pauses.resume(part):
        raise StaleTargetError
    return f"{part.label} {_GOES[part]} on."


ACTIONS = (
    Action(
        code="pause",
        title="Pause",
        question="Pause this part of the product?",
        effects=(
            "Pages say so kindly, and nothing new is begun.",
            "What is being made is finished, and what waits keeps its place. Photos are still deleted on time.",
        ),
        undo_note="You can let it go on at any time.",
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
        title="Go on",
        question="Let this part of the product go on?",
        effects=("The pages work as before within a minute, and what waits is begun.",),
        undo_note="You can pause it again at any time.",
        target_type="part",
        permission="dashboard.pause",
        load=load_part,
        state_of=lambda part: str(pauses.is_paused(part)),
        blocked_reason=_resume_blocked_reason,
        do=_resume,
    ),
)
