"""The product: parts of it that stop for a while."""

from headshots.dashboard.actions.audit_actions import Action, Answers, StaleTargetError
from headshots.dashboard.actions.targets import load_part
from headshots.shoots import pauses
from headshots.shoots.models import Pause

_IS = {Pause.What.UPLOADS: "are", Pause.What.RENDERING: "is"}
_GOES = {Pause.What.UPLOADS: "go", Pause.What.RENDERING: "goes"}


def _pause_blocked_reason(what: Pause.What) -> str:
    return "That is paused already." if pauses.is_paused(what) else ""


def _pause(what: Pause.What, answers: Answers) -> str:
    if not pauses.pause(what):
        raise StaleTargetError
    return f"{what.label} {_IS[what]} paused. Pages say so."


def _resume_blocked_reason(what: Pause.What) -> str:
    return "" if pauses.is_paused(what) else "That is not paused."


def _resume(what: Pause.What, answers: Answers) -> str:
    if not pauses.resume(what):
        raise StaleTargetError
    return f"{what.label} {_GOES[what]} on."


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
        state_of=lambda what: str(pauses.is_paused(what)),
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
        state_of=lambda what: str(pauses.is_paused(what)),
        blocked_reason=_resume_blocked_reason,
        do=_resume,
    ),
)
