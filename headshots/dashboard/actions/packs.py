"""Packs: another try, an end."""

from headshots.dashboard.actions.audit_actions import Action, Answers, NotPossible
from headshots.dashboard.actions.targets import load_pack
from headshots.payments.accounting.credits import open_credits, requeue_pack
from headshots.payments.models import Credit
from headshots.shoots.lifecycle import advance
from headshots.shoots.models import Event, Pack
from headshots.shoots.packs.recovery import retry_pack


def _why_no_retry(pack: Pack) -> str:
    if pack.state != Pack.State.FAILED:
        return f"Only a failed pack can be tried again; this one is {_words(pack.state)}."
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
        raise NotPossible("It has changed at this moment. Please look again.")
    return "The pack is queued again."


def _why_no_cancel(pack: Pack) -> str:
    return "" if pack.is_live else f"Only a live pack can be canceled; this one is {_words(pack.state)}."


def _cancel(pack: Pack, answers: Answers) -> str:
    if not advance(pack, Pack.State.CANCELED, actor=Event.Actor.STAFF, reason="staff"):
        raise NotPossible("It has ended at this moment. Please look again.")
    return "The pack is canceled."


def _words(code: str) -> str:
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
        way_back="It can be canceled while it is being made; pictures that were done are lost then.",
        subject="pack",
        permission="dashboard.run_packs",
        load=load_pack,
        state_of=lambda pack: pack.state,
        why_not=_why_no_retry,
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
        way_back="This cannot be undone: neither the pack nor its pictures come back.",
        subject="pack",
        permission="dashboard.run_packs",
        load=load_pack,
        state_of=lambda pack: pack.state,
        why_not=_why_no_cancel,
        do=_cancel,
        danger=True,
        shoot_of=lambda pack: pack.shoot_id,
    ),
)
