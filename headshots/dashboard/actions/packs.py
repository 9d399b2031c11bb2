"""Staff actions on packs: retry, cancel."""

from headshots.dashboard.actions.audit_actions import Action, ActionUnavailable, Answers
from headshots.dashboard.actions.targets import load_pack
from headshots.payments.accounting.credits import open_credits, requeue_pack
from headshots.payments.models import Credit
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Event, Pack
from headshots.shoots.packs.recovery import retry_pack


def _retry_blocked_reason(pack: Pack) -> str:
    if pack.state != Pack.State.FAILED:
        return f"Only failed packs can be retried. This pack is {_humanize(pack.state)}."
    if not pack.shoot.is_open:
        return "The photos of this shoot have been deleted."
    if _costs_a_credit(pack) and not (pack.shoot.owner and open_credits(pack.shoot.owner).exists()):
        return "The account has no open credit. Grant a pack first."
    return ""


def _costs_a_credit(pack: Pack) -> bool:
    return pack.kind == Pack.Kind.PREMIUM and not Credit.objects.filter(pack=pack, state=Credit.State.USED).exists()


def _retry(pack: Pack, answers: Answers) -> str:
    try_again = requeue_pack if pack.kind == Pack.Kind.PREMIUM else retry_pack
    if not try_again(pack=pack):
        raise ActionUnavailable("The pack has just changed. Please check its state and try again.")
    return "The pack is queued again."


def _cancel_blocked_reason(pack: Pack) -> str:
    return "" if pack.is_live else f"Only unfinished packs can be canceled. This pack is {_humanize(pack.state)}."


def _cancel(pack: Pack, answers: Answers) -> str:
    if not advance(pack, Pack.State.CANCELED, actor=Event.Actor.STAFF, reason=Pack.Reason.STAFF):
        raise ActionUnavailable("The pack has just ended. Please check its state.")
    return "The pack is canceled."


def _humanize(code: str) -> str:
    return code.replace("_", " ")


ACTIONS = (
    Action(
        code="retry-pack",
        title="Retry",
        question="Retry this pack?",
        effects=(
            "The pack returns to the queue, with three new attempts for each abandoned picture.",
            "Finished pictures are kept.",
            "A premium pack whose credit was returned uses an open credit of the account.",
        ),
        undo_note="You can cancel the pack while it is being made. Its finished pictures are then deleted.",
        target_type="pack",
        permission="dashboard.manage_packs",
        load=load_pack,
        state_of=lambda pack: pack.state,
        blocked_reason=_retry_blocked_reason,
        do=_retry,
        shoot_of=lambda pack: pack.shoot_id,
    ),
    Action(
        code="cancel-pack",
        title="Cancel",
        question="Cancel this pack?",
        effects=(
            "No more pictures are made.",
            "Finished pictures are deleted within minutes.",
            "The credit of a premium pack returns to the account.",
        ),
        undo_note="This can't be undone. The pack and its pictures can't be restored.",
        target_type="pack",
        permission="dashboard.manage_packs",
        load=load_pack,
        state_of=lambda pack: pack.state,
        blocked_reason=_cancel_blocked_reason,
        do=_cancel,
        danger=True,
        shoot_of=lambda pack: pack.shoot_id,
    ),
)
