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
        return f"Only a failed pack can be tried again; this one is {_humanize(pack.state)}."
    if not pack.shoot.is_open:
        return "Its photos are gone: nothing more can be made of them."
    if _costs_a_credit(pack) and not (pack.shoot.owner and open_credits(pack.shoot.owner).exists()):
        return "Its account has no open credit. Grant one first."
    return ""


def _costs_a_credit(pack: Pack) -> bool:
    return pack.kind == Pack.Kind.PREMIUM and not Credit.objects.filter(pack=pack, state=Credit.State.USED).exists()


def _retry(pack: Pack, answers: Answers) -> str:
    try_again = requeue_pack if pack.kind == Pack.Kind.PREMIUM else retry_pack
    if not try_again(pack=pack):
        raise ActionUnavailable("It has changed at this moment. Please look again.")
    return "The pack is queued again."


def _cancel_blocked_reason(pack: Pack) -> str:
    return "" if pack.is_live else f"Only a live pack can be canceled; this one is {_humanize(pack.state)}."


def _cancel(pack: Pack, answers: Answers) -> str:
    if not advance(pack, Pack.State.CANCELED, actor=Event.Actor.STAFF, reason=Pack.Reason.STAFF):
        raise ActionUnavailable("It has ended at this moment. Please look again.")
    return "The pack is canceled."


def _humanize(code: str) -> str:
    return code.replace("_", " ")


ACTIONS = (
    Action(
        code="retry-pack",
        title="Try again",
        question="Queue this pack again?",
        effects=(
            "It goes back into the queue, with three fresh tries for each picture that was given up.",
            "Pictures that are done stay as they are.",
            "A premium pack whose credit was given back takes an open credit of its account.",
        ),
        undo_note="It can be canceled while it is being made; pictures that were done are lost then.",
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
            "Nothing more of it is made.",
            "The pictures that are done are destroyed within minutes.",
            "What was paid for a premium pack becomes an open credit of its account again.",
        ),
        undo_note="This cannot be undone: neither the pack nor its pictures come back.",
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
